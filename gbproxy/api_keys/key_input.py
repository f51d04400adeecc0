"""The fields that an administrator gives to an API key, or what is wrong with each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
)

from gbproxy.domain.networks import Network, parse_network
from gbproxy.domain.principal import ApiKey, KeyPolicy, Rate, parse_rate
from gbproxy.errors import BadRequest, ModelNotFound

_MAX_TOKENS_PER_DAY = 1_000_000_000_000
_MAX_STREAMS = 1_000_000
_MOST_NETWORKS = 100  # each is looked at for every request
_LATEST = 253_402_300_799.0  # 9999-12-31T23:59:59Z: whoever shows it may round it up
_MOST_UNKNOWN = 8  # that are named
_NOT_COUNTED = "limits need REDIS_URL, where the several workers (WEB_CONCURRENCY) count together"


@dataclass(frozen=True, slots=True)
class _Context:
    """What the values are checked against. `model_id`: the id of a model by its name."""

    model_id: Callable[[str], str]
    now: float


def _name(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.strip().isprintable()
        or not 1 <= len(value.strip()) <= 128
    ):
        raise ValueError("must be a text of 1 to 128 printable characters")
    return value.strip()


def _expiry(value: object, info: ValidationInfo[_Context]) -> float | None:
    if value is None:
        return None
    expires_at = _instant(value)
    if not info.context.now < expires_at <= _LATEST:
        raise ValueError("must lie in the future")
    return expires_at


def _instant(value: object) -> float:
    allowed = "must be a time such as 2030-12-31T00:00:00Z, with its zone, or Unix seconds"
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except (ValueError, OverflowError):  # the latter for an integer that no float can hold
        raise ValueError(allowed) from None
    if moment.tzinfo is None:
        raise ValueError(allowed)
    return moment.timestamp()


def _models(value: object, info: ValidationInfo[_Context]) -> frozenset[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("must be an array of models' ids, or null for all")
    try:
        return frozenset(map(info.context.model_id, value))
    except ModelNotFound as error:
        raise ValueError(f"names what is no model: {error.message}") from None


def _rate(value: object) -> Rate | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be a text such as 60/hour")
    return parse_rate(value)


def _networks(value: object) -> tuple[Network, ...] | None:
    if value is None:
        return None
    if (
        not isinstance(value, list)
        or not 1 <= len(value) <= _MOST_NETWORKS
        or not all(isinstance(text, str) for text in value)
    ):
        raise ValueError(
            f"must be an array of 1 to {_MOST_NETWORKS} addresses or networks, or null for all"
        )
    return tuple(dict.fromkeys(map(_network, value)))


def _network(text: str) -> Network:
    try:
        return parse_network(text)
    except ValueError as error:
        raise ValueError(f"{text[:64]!r} {error}") from None


def _up_to(most: int) -> Any:
    def count(value: object) -> int | None:
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"must be a whole number from 1 to {most}")
        return value

    return PlainValidator(count), WithJsonSchema(
        {"type": ["integer", "null"], "minimum": 1, "maximum": most}
    )


class KeyInput(BaseModel):
    """The limits and models are None where the key has none of its own."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[
        str,
        PlainValidator(_name),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 128}),
    ]
    expires_at: Annotated[
        float | None,
        PlainValidator(_expiry),
        WithJsonSchema(
            {
                "type": ["number", "string", "null"],
                "description": "Unix seconds, or ISO 8601 with a zone",
            }
        ),
    ] = None
    models: Annotated[
        frozenset[str] | None,
        PlainValidator(_models),
        WithJsonSchema(
            {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "minItems": 1,
                "description": "null: all",
            }
        ),
    ] = None
    rate_limit: Annotated[
        Rate | None,
        PlainValidator(_rate),
        WithJsonSchema({"type": ["string", "null"], "description": "such as 60/hour"}),
    ] = None
    tokens_per_day: Annotated[int | None, *_up_to(_MAX_TOKENS_PER_DAY)] = None
    concurrent_streams: Annotated[int | None, *_up_to(_MAX_STREAMS)] = None
    allowed_addresses: Annotated[
        tuple[Network, ...] | None,
        PlainValidator(_networks),
        WithJsonSchema(
            {
                "type": ["array", "null"],
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": _MOST_NETWORKS,
                "description": "addresses and networks such as 192.0.2.0/24; null: all",
            }
        ),
    ] = None

    @property
    def policy(self) -> KeyPolicy:
        return KeyPolicy(
            models=self.models,
            rate_limit=self.rate_limit,
            tokens_per_day=self.tokens_per_day,
            concurrent_streams=self.concurrent_streams,
            allowed_addresses=self.allowed_addresses,
        )


FIELDS = tuple(KeyInput.model_fields)


def parse(
    given: Mapping[str, object],
    model_id: Callable[[str], str],
    now: float,
    *,
    can_limit: bool,
    known: ApiKey | None = None,
) -> KeyInput:
    """Read the given fields over those of a known key.

    `model_id`: the id of a model by its name; raises ModelNotFound. `now`: Unix seconds.

    Raises BadRequest, whose `param` is the first field that is wrong and whose message says what is
    wrong with each.
    """
    unknown = [name for name in given if name not in FIELDS]
    wrong = {
        name[:64]: f"is not known; allowed: {', '.join(FIELDS)}" for name in unknown[:_MOST_UNKNOWN]
    }
    # A name that is null is missing, as nothing is there.
    values = {name: given[name] for name in FIELDS if given.get(name) is not None}
    if known is not None and "name" not in given:
        values["name"] = known.name
    limited: Collection[str]
    try:
        parsed = KeyInput.model_validate(values, context=_Context(model_id, now))
    except ValidationError as error:
        wrong |= dict(_faults(error))
        limited = values.keys() & {"rate_limit", "tokens_per_day", "concurrent_streams"}
    else:
        limited = parsed.policy.limits
    if not can_limit:
        wrong |= {name: _NOT_COUNTED for name in FIELDS if name in limited and name not in wrong}
    if wrong:
        what = "; ".join(f"{name}: {fault}" for name, fault in wrong.items())
        raise BadRequest(what, param=next(iter(wrong)))
    if known is None:
        return parsed
    # Not checked again: what is stored may be older than today's rules, or have expired.
    kept = {name: value for name, value in _fields(known).items() if name not in given}
    return parsed.model_copy(update=kept)


def _fields(key: ApiKey) -> dict[str, object]:
    """A key's, as `KeyInput` has them."""
    policy = {each.name: getattr(key.policy, each.name) for each in fields(KeyPolicy)}
    return {"name": key.name, "expires_at": key.expires_at, **policy}


def _faults(error: ValidationError) -> Iterator[tuple[str, str]]:
    for fault in error.errors(include_url=False, include_input=False):
        told = "is missing" if fault["type"] == "missing" else str(fault["ctx"]["error"])
        yield str(fault["loc"][0]), told
