"""The version, for all that tell it: the package's own is read from here."""

__version__ = "0.2.0"
