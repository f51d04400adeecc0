"""OpenAI's API: chat completions and models. Source:
https://platform.openai.com/docs/api-reference
"""

from gbproxy.api.format import Format
from gbproxy.api.openai.errors import ERRORS
from gbproxy.api.openai.files import views
from gbproxy.api.openai.routes import blueprints, models

FORMAT = Format(errors=ERRORS, blueprints=blueprints, models=models, files=views)
