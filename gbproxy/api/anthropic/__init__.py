"""Anthropic's API: messages, their tokens, and models. Source:
https://platform.claude.com/docs/en/api
"""

from gbproxy.api.anthropic.errors import ERRORS
from gbproxy.api.anthropic.routes import blueprints, models
from gbproxy.api.format import Format

FORMAT = Format(errors=ERRORS, blueprints=blueprints, models=models)
