"""The answers of the admin API, as its description tells them. Times are Unix seconds."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gbproxy.account_admin.import_accounts import Result
from gbproxy.account_admin.model_reports import State
from gbproxy.account_admin.views import Source
from gbproxy.domain.account import AccountState, QuotaClass
from gbproxy.settings.webhooks import WebhookKind
from gbproxy.storage.account_health import Status
from gbproxy.web.operations import AnswerModel


class AccountEntry(AnswerModel):
    """An account without its secrets; which other values it has depends on its upstream."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    csesidx: str | None = None
    config_id: str | None = None
    edition: str | None = None
    location: str | None = None
    user_agent: str | None = None
    is_active: bool
    source: Source
    created_at: int | None
    state: AccountState = Field(description="the worst of all kinds of request")
    cooling_until: dict[QuotaClass, int]
    models_cooling_until: dict[str, int] = Field(
        description="by model, for those with a fallback whose quota is used up"
    )
    in_flight: int = Field(description="answers of all workers, at most a second old")
    last_used_at: int | None
    last_error: str | None
    last_error_said: dict[str, Any] | None = Field(description="the upstream's words")
    checked_at: int | None = Field(description="the last check or sign-in")
    cookies_at: int | None = Field(
        description="when its cookies were given, or renewed by the upstream"
    )
    cookie_age_h: float | None = Field(description="hours since then")


class AccountList(AnswerModel):
    accounts: list[AccountEntry]


class CredentialCheck(AnswerModel):
    id: str
    name: str
    status: Status
    checked_at: int | None
    detail: str
    said: dict[str, Any] | None = Field(description="the upstream's words")


class CredentialChecks(AnswerModel):
    accounts: list[CredentialCheck]


class Place(AnswerModel):
    field: str
    required: bool
    where: str


class MissingField(Place):
    """A field of an account that the paste did not have."""

    name: str | None
    csesidx: str | None


class WrongField(AnswerModel):
    field: str
    reason: str


class ImportedAccount(AnswerModel):
    result: Result
    id: str | None
    name: str | None
    csesidx: str | None
    config_id: str | None
    found: list[str]
    missing: list[Place]
    wrong: list[WrongField]
    reason: str | None


class ImportAnswer(AnswerModel):
    dry_run: bool
    found: list[ImportedAccount]
    created: list[str]
    changed: list[str]
    missing: list[MissingField]
    warnings: list[str]


class KeyEntry(AnswerModel):
    id: str
    name: str
    fingerprint: str
    created_at: int
    expires_at: int | None
    models: list[str] | None
    rate_limit: str | None
    tokens_per_day: int | None
    concurrent_streams: int | None
    allowed_addresses: list[str] | None


class NewKey(KeyEntry):
    key: str = Field(description="shown this once")


class KeyList(AnswerModel):
    keys: list[KeyEntry]


class AccountModelState(AnswerModel):
    id: str
    name: str
    state: State
    noted_at: int | None


class AdminModel(AnswerModel):
    id: str
    upstream: str | None
    aliases: list[str]
    successor: str | None
    fallback: str | None
    tools: list[str]
    quota: QuotaClass
    is_listed: bool
    accounts: list[AccountModelState]


class AccountToolsOff(AnswerModel):
    id: str
    name: str
    tools_off: list[str]


class AdminModels(AnswerModel):
    models: list[AdminModel]
    accounts: list[AccountToolsOff]


class LoggedRequestEntry(AnswerModel):
    ended_at: int
    request_id: str
    key: str | None = Field(description="the key's fingerprint")
    key_name: str | None
    surface: str
    model: str | None
    account: str | None = Field(description="the account's id")
    account_name: str | None
    status: int
    code: str | None = Field(description="of the error; null: it went well")
    ttft_ms: int | None = Field(description="until the first text")
    duration_ms: int
    input_tokens: int | None
    output_tokens: int | None
    attempts: int
    is_streamed: bool


class RequestList(AnswerModel):
    requests: list[LoggedRequestEntry]
    next: str | None = Field(description="for `before`; null: there are no older ones")
    kept_days: float = Field(description="REQUEST_LOG_DAYS; 0: there is no log")


class AlertWebhook(AnswerModel):
    """A webhook, without its address, which is a secret."""

    kind: WebhookKind
    host: str


class AlertOutcome(AlertWebhook):
    trouble: str | None = Field(description="why it was not taken; null: it was")


class AlertTest(AnswerModel):
    webhooks: list[AlertOutcome]


class AlertTold(AnswerModel):
    kind: str
    account: str | None = Field(description="the account's name")
    quota: str | None
    model: str | None = Field(description="whose quota it is, where that is of one model alone")
    title: str
    opened_at: int
    closed_at: int | None
    sent_at: int | None = Field(description="when a webhook has last taken a message of it")
    has_failed: bool = Field(description="no webhook has taken the last message of it")


class AlertsAnswer(AnswerModel):
    webhooks: list[AlertWebhook]
    open: list[AlertTold]
    over: list[AlertTold] = Field(description="of the last 30 days, each as it was last")


DELETED: dict[int, tuple[type[BaseModel], ...]] = {204: ()}
TAG = "Administration"
