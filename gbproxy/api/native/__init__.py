"""The gateway's own API: sessions that a client opens and continues by their id, with nothing but
its new message. No other API's form has a place for them.
"""

from gbproxy.api import error_object
from gbproxy.api.format import Format
from gbproxy.api.native.routes import CHAT_PATH, SESSIONS_PATHS, blueprints
from gbproxy.web.errors import ErrorFormat, retry_headers

FORMAT = Format(
    errors=ErrorFormat(
        body=error_object.body,
        headers=retry_headers,
        schema=error_object.ErrorBody,
        paths=(CHAT_PATH, *SESSIONS_PATHS),
    ),
    blueprints=blueprints,
)
