"""The version, for all that tell it; pyproject.toml says the same."""

__version__ = "0.1.0"
