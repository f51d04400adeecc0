"""Each setting: its type, default, rule and description."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gbproxy.settings import network, rates, validators
from gbproxy.settings.entries import AccountSettings, ModelSettings, distinct
from gbproxy.settings.types import (
    ANY_CASE,
    JSON_ARRAY,
    STATUS_LINES,
    BaseUrl,
    Connections,
    CountOrZero,
    Keys,
    LanguageCode,
    ModelId,
    NonNegativeFloat,
    Port,
    PositiveFloat,
    PositiveInt,
    WorkerCount,
    headlines,
    parsed_by,
    status_line,
)

# Variables of older programs that are accepted and have no meaning here.
LEGACY_IGNORED = frozenset({
    "AUTH_URL", "AUTH_DOMAIN", "ACCOUNT_EMAIL", "GEMINI_BUSINESS_EMAIL", "JWT_SECRET", "JWT_EXPIRY_MINUTES",
    "OPENAI_COMPATIBLE", "API_KEY_HEADER",
})  # fmt: skip

# Variables whose part of the gateway is not built: named at start, so that nobody relies on a limit
# that is not there.
RESERVED = frozenset({
    "MAX_FILE_MB", "PUBLIC_URL", "MEDIA_TTL_S",
})  # fmt: skip


def _user_agent() -> str:
    from gbproxy import __version__

    return f"gbproxy/{__version__}"


class Settings(BaseSettings):
    """All settings. Made by `load`, or by keyword where a program embeds the gateway: then nothing
    else is read.
    """

    model_config = SettingsConfigDict(
        frozen=True, validate_default=False, hide_input_in_errors=True
    )

    host: Annotated[str, parsed_by(network.host)] = Field(
        "0.0.0.0",  # noqa: S104
        description="address to listen on",
    )
    port: Port = Field(8080, description="port to listen on")
    web_concurrency: WorkerCount = Field(1, description="gunicorn workers")
    worker_connections: Connections = Field(1000, description="connections at once in each worker")
    graceful_timeout_s: NonNegativeFloat = Field(
        120.0, description="seconds that running answers may take after SIGTERM"
    )
    drain_delay_s: NonNegativeFloat = Field(
        1.0,
        description=(
            "seconds after SIGTERM in which `/readyz` says 503 and requests are still taken; 0: off"
        ),
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], ANY_CASE] = Field(
        "info", description="`debug`, `info`, `warning` or `error`"
    )
    log_format: Annotated[Literal["json", "text"], ANY_CASE] = Field(
        "json", description="`json` or `text`, both to stdout"
    )
    api_keys: Keys = Field(
        (),
        description=(
            "comma-separated client keys; at least 16 characters each unless `HOST` is loopback"
        ),
    )
    admin_key: SecretStr | None = Field(
        None,
        description=(
            "opens the admin API; at least 16 characters unless `HOST` is loopback, and none of"
            " `API_KEYS`"
        ),
    )
    metrics_key: SecretStr | None = Field(
        None, description="bearer for `/metrics`; the admin key works too"
    )
    secret_keys: Keys = Field(
        (),
        description=(
            "encrypts what the database keeps; several, comma-separated: the first encrypts, all"
            " decrypt"
        ),
    )
    accounts: tuple[AccountSettings, ...] = Field(
        (),
        description=(
            'several accounts: a JSON array of `{"name", "secure_c_ses", "host_c_oses", "csesidx",'
            ' "config_id"}` and, optional, `edition`, `location`, `cookies`, `server_token`,'
            " `user_agent`; `team_id` is read as `config_id`, unknown fields are ignored"
        ),
    )
    database_url: Annotated[SecretStr, parsed_by(network.database_url)] | None = Field(
        None, description="`sqlite:////data/gbproxy.db` or `postgresql://…`"
    )
    redis_url: Annotated[SecretStr, parsed_by(network.redis_url)] | None = Field(
        None,
        description=(
            "`redis://…` or `rediss://…`: where several workers count together what is limited"
        ),
    )
    gemini_business_url: BaseUrl | None = Field(
        None,
        description=(
            "where the cookies are shown for a token, in place of the page of every account's"
            " edition"
        ),
    )
    api_base_url: BaseUrl | None = Field(
        None, description="the widget API, in place of that of every account's edition"
    )
    proxy: Annotated[SecretStr, parsed_by(network.proxy_url)] | None = Field(
        None,
        description="proxy for the upstream: `http://`, `https://`, `socks5://` or `socks5h://`",
    )
    user_agent: Annotated[str, parsed_by(validators.user_agent)] = Field(
        default_factory=_user_agent, description="what the upstream is told we are"
    )
    upstream_headers: Annotated[dict[str, SecretStr], parsed_by(validators.headers)] = Field(
        {}, description="a JSON object of further request headers for the upstream"
    )
    upstream_body: Annotated[dict[str, Any], parsed_by(validators.json_object)] = Field(
        {}, description="a JSON object that is merged into the body of each call", repr=False
    )
    upstream_session: Annotated[Literal["create", "dash", "own"], ANY_CASE] = Field(
        "create",
        description=(
            "how a session comes to be: `create`, by a call of its own; `dash` and `own`, with its"
            " first question, named by the upstream or by us"
        ),
    )
    upstream_stream: Annotated[Literal["json", "sse"], ANY_CASE] = Field(
        "json", description="`json` (array framing) or `sse` (adds `alt=sse`)"
    )
    connect_timeout_s: PositiveFloat = Field(10.0, description="seconds to connect to the upstream")
    read_timeout_s: PositiveFloat = Field(
        120.0, description="seconds of silence between two bytes of the upstream"
    )
    request_timeout_s: PositiveFloat = Field(1800.0, description="seconds for a whole answer")
    heartbeat_s: NonNegativeFloat = Field(
        10.0,
        description=(
            "seconds without anything sent after which a stream says that it is alive; 0: off"
        ),
    )
    max_attempts: PositiveInt = Field(3, description="accounts tried for one request")
    account_concurrency: PositiveInt = Field(
        8, description="answers at once on one account, in each worker; more wait in order"
    )
    account_order: Annotated[Literal["least-busy", "first"], ANY_CASE] = Field(
        "least-busy", description="`least-busy`, or `first`: the first usable one, in order"
    )
    session_timeout: NonNegativeFloat = Field(
        1800.0,
        description=(
            "seconds after its last turn in which a conversation goes on in its upstream session,"
            " which is deleted then; 0: a fresh session for each request"
        ),
    )
    prompt_max_chars: PositiveInt = Field(
        400_000, description="longer prompts: 400 `context_length_exceeded`"
    )
    ca_bundle: Annotated[Path, parsed_by(validators.certificates)] | None = Field(
        None, description="certificates that the upstream's and proxy's TLS is verified with"
    )
    models: Annotated[tuple[ModelSettings, ...], JSON_ARRAY, AfterValidator(distinct)] = Field(
        (), description="a JSON array that is merged into the built-in catalogue by `id`"
    )
    default_model: ModelId = Field(
        "gemini-auto",
        description="for requests without a model and for foreign names such as `gpt-*`",
    )
    thoughts: Annotated[Literal["hide", "show"], ANY_CASE] = Field(
        "hide", description="`hide` or `show`"
    )
    status_lines: Annotated[frozenset[str], parsed_by(headlines)] = Field(
        frozenset(map(status_line, STATUS_LINES)),
        description="comma-separated headlines that are hidden before any answer text; `off`: none",
    )
    language_code: LanguageCode = Field("en-US", description="sent upstream")
    time_zone: Annotated[str, parsed_by(validators.time_zone)] = Field(
        "UTC", description="sent upstream"
    )
    rate_limit: Annotated[rates.Rate, parsed_by(rates.parse)] | None = Field(
        None,
        description=(
            "requests of one caller in any such time: `60/hour`, `10/second`, `100/15 minutes`"
        ),
    )
    rate_limit_by: Annotated[Literal["key", "ip"], ANY_CASE] = Field(
        "key", description="what a caller is: `key` or `ip`, its address"
    )
    model_interval_s: NonNegativeFloat = Field(
        0.0, description="least seconds between two requests of one caller to one model; 0: off"
    )
    trusted_proxies: CountOrZero = Field(
        0, description="how many proxies in front set `X-Forwarded-*`; 0: none is believed"
    )
    cors_origins: Annotated[tuple[str, ...], parsed_by(network.origins)] = Field(
        ("*",),
        description=(
            "comma-separated origins of the web pages that may use the API; `*`: all. `*` may stand"
            " for a port, `http://localhost:*`, or for the first labels of a host,"
            " `https://*.example.com`"
        ),
    )
    max_body_mb: PositiveFloat = Field(32.0, description="larger requests: 413")
    max_answer_mb: PositiveFloat = Field(
        64.0,
        description="an upstream's answer with more text, thoughts included, ends with an error",
    )
    ignored: tuple[str, ...] = Field(
        (), description="no variable: names of variables that are set and have no effect"
    )
    database_is_temporary: bool = Field(
        False, description="no variable: the database was made for this start alone"
    )

    @property
    def can_limit_keys(self) -> bool:
        """Whether what is limited is counted in one place."""
        return self.web_concurrency == 1 or self.redis_url is not None

    @property
    def metrics_keys(self) -> tuple[str, ...]:
        """What opens `/metrics`."""
        return tuple(
            key.get_secret_value() for key in (self.metrics_key, self.admin_key) if key is not None
        )

    @field_validator("default_model")
    @classmethod
    def _name_of_older_programs(cls, name: str, info: ValidationInfo) -> str:
        own = {known for model in info.data.get("models", ()) for known in model.names}
        return "gemini-auto" if name == "gemini-business" and name not in own else name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed counts: `load` is given the environment and knows the aliases and
        files.
        """
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


VARIABLES = {
    name: {"secret_keys": "SECRET_KEY"}.get(name, name.upper())
    for name in Settings.model_fields
    if name not in ("accounts", "ignored", "database_is_temporary")
}
ACCOUNT_VARIABLES = {
    name: name.upper() for name in ("secure_c_ses", "host_c_oses", "csesidx", "config_id")
}
