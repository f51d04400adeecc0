"""Google's Gemini API: content, its tokens, and models. Source: https://ai.google.dev/api"""

from gbproxy.api.format import Format
from gbproxy.api.gemini.errors import ERRORS
from gbproxy.api.gemini.routes import blueprints, models
from gbproxy.api.gemini.stored_files import views

FORMAT = Format(errors=ERRORS, blueprints=blueprints, models=models, files=views)
