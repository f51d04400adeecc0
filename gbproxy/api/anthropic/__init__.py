"""Anthropic's API: messages, their tokens, models and files. Source:
https://platform.claude.com/docs/en/api
"""

from gbproxy.api.anthropic.errors import ERRORS
from gbproxy.api.anthropic.files import views
from gbproxy.api.anthropic.routes import blueprints, models
from gbproxy.api.format import Format

FORMAT = Format(errors=ERRORS, blueprints=blueprints, models=models, files=views)
