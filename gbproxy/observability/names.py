"""The names of spans, attributes and metrics: OpenTelemetry's for generative AI and HTTP, and our
own where it has none. None of them is for a text of a prompt or an answer.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105
CHAT = "chat"
GOOGLE = "gcp.gen_ai"

FIRST_TOKEN = "gen_ai.first_token"  # an event  # noqa: S105

OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105
TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105
REQUEST_DURATION = "gen_ai.server.request.duration"
TIME_PER_OUTPUT_TOKEN = "gen_ai.server.time_per_output_token"  # noqa: S105

METHOD = "http.request.method"
ROUTE = "http.route"
STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"

REQUEST_ID = "gbproxy.request_id"
ACCOUNT = "gbproxy.account"
ATTEMPTS = "gbproxy.attempts"
KEY = "gbproxy.key"  # a fingerprint
STREAM = "gbproxy.stream"

SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
SERVICE_INSTANCE = "service.instance.id"
