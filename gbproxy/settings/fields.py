"""The fields of `Settings`: each with its type, default and description for docs/settings.md."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from gbproxy.domain.principal import Rate, parse_rate
from gbproxy.settings import network, validators, webhooks
from gbproxy.settings.entries import AccountSettings, Models
from gbproxy.settings.validators import (
    ANY_CASE,
    STATUS_LINES,
    Connections,
    Keys,
    LanguageCode,
    ModelId,
    NonNegativeFloat,
    NonNegativeInt,
    Port,
    PositiveFloat,
    PositiveInt,
    WorkerCount,
    headlines,
    parsed_by,
)


def _user_agent() -> str:
    from gbproxy.version import __version__

    return f"gbproxy/{__version__}"


class Settings(BaseModel):
    """All settings: from `load`, or by keyword where a program embeds the gateway."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: Annotated[str, parsed_by(network.host)] = Field(
        "0.0.0.0",  # noqa: S104
        description="address to listen on; `127.0.0.1`: this machine only",
    )
    port: Port = Field(8080, description="port to listen on")
    web_concurrency: WorkerCount = Field(
        1,
        description="gunicorn workers; a start whose `--workers` says otherwise ends with status "
        "2. Give a bare number where you start gunicorn yourself, which reads it first",
    )
    worker_connections: Connections = Field(
        1000,
        description="answers at once in each worker; further requests get 503 `overloaded` at "
        "once. Health checks, the catalogue and refusals do not count",
    )
    graceful_timeout_s: NonNegativeFloat = Field(
        120.0,
        description="seconds that running answers get to finish when the gateway "
        "[stops](deployment.md#stopping-and-reloading); those that remain end with an error",
    )
    drain_delay_s: NonNegativeFloat = Field(
        1.0,
        description="seconds after SIGTERM in which `/readyz` answers 503 while requests are still "
        "taken; `0`: none",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], ANY_CASE] = Field(
        "info",
        description="`debug`, `info`, `warning` or `error`: lines from there up. `admin.did`, [who "
        "changed what](operations.md#who-changed-what), is written at each",
    )
    log_format: Annotated[Literal["json", "text"], ANY_CASE] = Field(
        "json", description="`json` (one object a line) or `text` (for people), both to stdout"
    )
    api_keys: Keys = Field(
        (),
        description="keys that clients may use, comma-separated. Unless `HOST` is loopback, a key "
        "of less than 16 characters or a well-known placeholder is refused. None given: a key is "
        "made for this start and printed once on stderr",
    )
    admin_key: SecretStr | None = Field(
        None,
        description="opens the [admin API](admin.md) and `/metrics`, nothing else; the rules for "
        "`API_KEYS` hold for it, and it must be none of them. Unset: there is no admin API",
    )
    metrics_key: SecretStr | None = Field(
        None,
        description="opens [`/metrics`](operations.md#metrics), by the rules for `API_KEYS`; "
        "`ADMIN_KEY` opens it too. With neither, the path answers 404",
    )
    secret_keys: Keys = Field(
        (),
        description="encrypts the credentials in the database; needed with `DATABASE_URL`. "
        "Several, comma-separated, rotate: the first encrypts, all decrypt. The rules for "
        "`API_KEYS` hold for it too. See [storage](deployment.md#storage)",
    )
    accounts: tuple[AccountSettings, ...] = Field(
        (),
        description="several accounts: a JSON array of objects with `secure_c_ses`, `host_c_oses`, "
        "`csesidx`, `config_id` (or `team_id`) and a `name` for the log, and optional `edition`, "
        "`location`, `cookies`, `server_token`, `user_agent`: see [editions and "
        'gates](getting-started.md#editions-and-gates). An account with `"disabled": true` is left '
        "out; other fields are passed over",
    )
    database_url: Annotated[SecretStr, parsed_by(network.database_url)] | None = Field(
        None,
        description="where account states, upstream sessions and stored credentials are kept: "
        "`sqlite:////data/gbproxy.db` (four slashes for an absolute path; its directory must "
        "exist) or `postgresql://user:password@host:port/database`. Unset: nothing outlives the "
        "process. See [storage](deployment.md#storage)",
    )
    request_log_days: NonNegativeFloat = Field(
        7.0,
        description="days for which the [request log](operations.md#request-log) is kept: who "
        "asked which model when, and how it went, never what was said. `0`: there is none",
    )
    redis_url: Annotated[SecretStr, parsed_by(network.redis_url)] | None = Field(
        None,
        description="`redis://:password@host:port/0`, or `rediss://` for TLS: where several "
        "workers count limits together. Needed with `WEB_CONCURRENCY` above 1 as soon as anything "
        "is limited, by a key too: without it such a start ends with status 2",
    )
    gemini_business_url: Annotated[str, parsed_by(network.base_url)] | None = Field(
        None,
        description="page that exchanges the cookies for a token, in place of the page of every "
        "account's [edition](getting-started.md#editions-and-gates)",
    )
    api_base_url: Annotated[str, parsed_by(network.base_url)] | None = Field(
        None,
        description="the widget API, in place of that of every account's edition; the location is "
        "added",
    )
    proxy: Annotated[SecretStr, parsed_by(network.proxy_url)] | None = Field(
        None,
        description="proxy for all upstream traffic and for linked files: `http://`, `https://`, "
        "`socks5://` or `socks5h://`, with `user:password@` or `user@` where needed; both are sent "
        "in UTF-8, and `/`, `?`, `#`, `%` and spaces in them are written as `%XX`. The usual "
        "`HTTPS_PROXY` is not read",
    )
    user_agent: Annotated[str, parsed_by(validators.user_agent)] = Field(
        default_factory=_user_agent,
        description="the `user-agent` that the upstream sees; you may name your own browser's",
    )
    upstream_headers: Annotated[dict[str, SecretStr], parsed_by(validators.headers)] = Field(
        {},
        description="a JSON object of further request headers; not `Authorization`, `Cookie`, "
        "`Host` and those of the connection",
    )
    upstream_body: Annotated[dict[str, Any], parsed_by(validators.json_object)] = Field(
        {},
        description="a JSON object that is merged into the body of each call, objects into "
        "objects; a value here wins, even over the question. What stands under a call's own name, "
        "such as `streamAssistRequest`, goes into that call alone. A way out, should the upstream "
        "come to want a field",
        repr=False,
    )
    upstream_session: Annotated[Literal["create", "dash", "own"], ANY_CASE] = Field(
        "create",
        description="how a session is opened: `create`, by a call of its own before the question; "
        "`own` and `dash`, with its first question: under an id that the gateway makes, or under "
        "one that the upstream sends with its answer. A way out, should creating be refused; "
        "[conversations](conversations.md#sessions-named-by-the-upstream) says what `dash` costs",
    )
    upstream_stream: Annotated[Literal["json", "sse"], ANY_CASE] = Field(
        "json",
        description="framing to ask for: `json` (an array) or `sse`; both are understood, "
        "whichever comes",
    )
    connect_timeout_s: PositiveFloat = Field(
        10.0,
        description="seconds to connect, including the name lookup and the proxy's and TLS "
        "handshakes",
    )
    read_timeout_s: PositiveFloat = Field(
        120.0,
        description="seconds until all headers of an answer have arrived, and of silence between "
        "two pieces of its body (a small call, such as signing in, may take 30 in all); also the "
        "longest wait for an account",
    )
    request_timeout_s: PositiveFloat = Field(
        1800.0, description="seconds for a whole request, with all its waits and attempts"
    )
    heartbeat_s: NonNegativeFloat = Field(
        10.0,
        description=("seconds without output after which a stream sends a heartbeat; `0`: never"),
    )
    max_attempts: PositiveInt = Field(
        3,
        description="accounts tried for one request: see [failing over](accounts.md#failing-over)",
    )
    account_concurrency: PositiveInt = Field(
        8,
        description="answers at once on one account, counted in each worker; further requests wait "
        "in order, for `READ_TIMEOUT_S` at most",
    )
    account_order: Annotated[Literal["least-busy", "first"], ANY_CASE] = Field(
        "least-busy",
        description="`least-busy`: the account with the fewest running answers; `first`: the first "
        "available one, in order",
    )
    session_timeout: NonNegativeFloat = Field(
        1800.0,
        description="seconds after its last answer in which a [conversation](conversations.md) "
        "continues in its upstream session, which is deleted then, but not before the last "
        "[link](api.md#links) into it has expired. `0`: a fresh session for each "
        "request, deleted after it; [sessions](api.md#sessions) that clients open then live 1800",
    )
    prompt_max_chars: PositiveInt = Field(
        400_000,
        description="older turns of longer conversations go up as a file; a newest message that is "
        "longer by itself: 400 `context_length_exceeded`",
    )
    ca_bundle: Annotated[Path, parsed_by(validators.certificates)] | None = Field(
        None,
        description="certificates that verify the TLS of the upstream and the proxy, which is "
        "always verified: a file in PEM form, or a directory of such files with names by `openssl "
        "rehash`",
    )
    models: Models = Field(
        (),
        description="changes to the catalogue, a JSON array: see "
        "[models](models.md#changing-the-catalogue)",
    )
    default_model: ModelId = Field(
        "gemini-auto",
        description="answers requests without a model and with other vendors' names",
    )
    thoughts: Annotated[Literal["hide", "show"], ANY_CASE] = Field(
        "hide", description="`hide` or `show`, where the request does not say"
    )
    status_lines: Annotated[tuple[str, ...], parsed_by(headlines)] = Field(
        STATUS_LINES,
        description="headlines, comma-separated, that count as thoughts when one arrives alone "
        "before any answer text; case and surrounding `**` are ignored; `off`: none",
    )
    language_code: LanguageCode = Field("en-US", description="language sent upstream")
    time_zone: Annotated[str, parsed_by(validators.time_zone)] = Field(
        "UTC", description="time zone sent upstream, such as `Europe/Madrid`"
    )
    rate_limit: Annotated[Rate, parsed_by(parse_rate)] | None = Field(
        None,
        description="answers that one caller may request within any period of this length: "
        "`60/hour`, `10/second`, `100/15 minutes` (units from `second` to `day`); more: 429 "
        "`rate_limit_exceeded`. See [limits](admin.md#limits)",
    )
    rate_limit_by: Annotated[Literal["key", "ip"], ANY_CASE] = Field(
        "key",
        description="what a caller is: `key`, or `ip`, its address (of IPv6 the first 64 bits). "
        "Behind a proxy set `TRUSTED_PROXIES`",
    )
    model_interval_s: NonNegativeFloat = Field(
        0.0, description="least seconds between two requests of one caller for one model; `0`: none"
    )
    trusted_proxies: NonNegativeInt = Field(
        0,
        description="how many proxies in front set `X-Forwarded-*`; `0`: none is believed. See "
        "[behind a proxy](deployment.md#behind-a-proxy)",
    )
    cors_origins: Annotated[tuple[str, ...], parsed_by(network.origins)] = Field(
        ("*",),
        description="web pages that may use the API from a browser: origins such as "
        "`https://chat.example.com`, comma-separated; `*`: all. `*` may also stand for a port or "
        "for the first labels of a host: see [browsers](deployment.md#browsers)",
    )
    max_body_mb: PositiveFloat = Field(32.0, description="larger requests: 413 `request_too_large`")
    max_file_mb: PositiveFloat = Field(
        20.0, description="larger files, sent or linked to in a message: 413 `request_too_large`"
    )
    max_answer_mb: PositiveFloat = Field(
        64.0,
        description="an upstream answer with more text than that, hidden thoughts included, ends "
        "with an error; so does one that needs far more data to say it",
    )
    public_url: Annotated[str, parsed_by(network.base_url)] | None = Field(
        None,
        description="where clients reach the gateway, such as `https://ai.example.com`: the base "
        "of the links to [pictures and videos](api.md#pictures-and-videos), and of the addresses "
        "of uploads and files in Google's format. Unset: where each request has reached "
        "it, for which a proxy in front needs `TRUSTED_PROXIES`",
    )
    media_ttl_s: PositiveFloat = Field(
        86_400.0,
        description="seconds for which a link to a picture or video is valid; the upstream session "
        "that holds the file is not deleted before",
    )
    images_in_chat: Annotated[Literal["markdown", "base64", "both"], ANY_CASE] = Field(
        "markdown",
        description="how a picture stands in a chat answer: `markdown`, a link in the text and in "
        "`message.images`; `base64`, in `message.images` alone, with its bytes, for clients that "
        "cannot fetch links; or `both`",
    )
    check_interval_s: NonNegativeFloat = Field(
        1800.0,
        description="an account that was not used or probed for so many seconds is probed by the "
        "cheapest call, once for all workers and replicas, so that refused cookies are known "
        "before a user meets them; `0`: never. One that is set aside is tried more often, whatever "
        "stands here. See [scheduled checks](operations.md#scheduled-checks)",
    )
    cookie_max_age_h: NonNegativeFloat = Field(
        20.0,
        description="hours since an account's cookies were given to the gateway, or renewed by "
        "the upstream, after which an [alert](operations.md#alerts) says that they grow old; "
        "`0`: never",
    )
    alert_webhook: Annotated[tuple[SecretStr, ...], parsed_by(webhooks.webhook_urls)] = Field(
        (),
        description="where [alerts](operations.md#alerts) are sent: addresses of webhooks, "
        "comma-separated. Those of Slack, Telegram (`https://api.telegram.org/bot<token>/"
        "sendMessage?chat_id=<id>`), Feishu or Lark, DingTalk and ntfy get the form that these "
        "take, all others a JSON object; `slack+`, `telegram+`, `feishu+`, `dingtalk+`, `ntfy+` "
        "or `json+` before an address names the form. A comma in an address is written `%2C`",
    )
    alert_silence_s: NonNegativeFloat = Field(
        3600.0, description="least seconds between two alerts that say the same"
    )
    otel_exporter_otlp_endpoint: Annotated[str, parsed_by(network.otlp_endpoint)] | None = Field(
        None,
        description="where [traces and metrics](operations.md#opentelemetry) are sent by OTLP, such"
        " as `http://collector:4318`; needs `gbproxy[otel]`. OpenTelemetry's other variables "
        "(`OTEL_…`) hold too. Unset: nothing is sent",
    )
    ignored: tuple[str, ...] = Field(
        (), description="no variable: names of variables that are set and have no effect"
    )
    database_is_temporary: bool = Field(
        False, description="no variable: the database was made for this start alone"
    )

    @property
    def database_address(self) -> str:
        """DATABASE_URL with its password; "" without one."""
        return self.database_url.get_secret_value() if self.database_url else ""

    @property
    def encryption_keys(self) -> list[str]:
        """SECRET_KEY's values, the one in use first."""
        return [key.get_secret_value() for key in self.secret_keys]

    @property
    def can_limit_keys(self) -> bool:
        """True if all workers count requests in one place, as limits of keys need."""
        return self.web_concurrency == 1 or self.redis_url is not None

    @property
    def alert_webhooks(self) -> list[webhooks.Webhook]:
        return [webhooks.Webhook.parse(each.get_secret_value()) for each in self.alert_webhook]

    @property
    def metrics_keys(self) -> tuple[str, ...]:
        """The keys that open `/metrics`."""
        return tuple(
            key.get_secret_value() for key in (self.metrics_key, self.admin_key) if key is not None
        )

    @field_validator("default_model")
    @classmethod
    def _name_of_older_programs(cls, name: str, info: ValidationInfo) -> str:
        own = {known for model in info.data.get("models", ()) for known in model.names}
        return "gemini-auto" if name == "gemini-business" and name not in own else name
