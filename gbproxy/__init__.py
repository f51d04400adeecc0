"""gbproxy: an OpenAI-compatible gateway to the models behind your own Gemini Business account."""

__version__ = "0.1.0"
