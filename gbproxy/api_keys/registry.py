"""Lists, creates and revokes API keys, for administrators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from gbproxy.domain.principal import ApiKey, KeyPolicy, Rate, key_digest, new_key, parse_rate
from gbproxy.errors import BadRequest, ModelNotFound, NotFound, StorageUnavailable
from gbproxy.storage.api_keys import ApiKeyStore

FIELDS = ("name", "expires_at", "models", "rate_limit", "tokens_per_day", "concurrent_streams")

_MAX_TOKENS_PER_DAY = 1_000_000_000_000
_MAX_STREAMS = 1_000_000
_NOT_COUNTED = "limits need REDIS_URL, where the several workers (WEB_CONCURRENCY) count together"

T = TypeVar("T")


class ApiKeys:
    """`model_id`: the id of a model by its name; raises ModelNotFound. `on_change`: called after a
    key was created or revoked. `can_limit`: True if all workers count together. `clock`: Unix
    seconds.

    Calls raise StorageUnavailable.
    """

    def __init__(
        self,
        store: ApiKeyStore,
        model_id: Callable[[str], str],
        *,
        can_limit: bool = True,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._model_id = model_id
        self._can_limit = can_limit
        self._on_change = on_change
        self._clock = clock

    def list(self) -> Sequence[ApiKey]:
        """All stored keys, the oldest first."""
        return self._store.all()

    def create(self, given: Mapping[str, object]) -> tuple[ApiKey, str]:
        """Store a new key. Returns what was stored, and the key itself, which cannot be shown
        again.

        Fields: name; where wanted expires_at (Unix seconds, or ISO 8601 with a zone), models (ids),
        rate_limit ("60/hour"), tokens_per_day, concurrent_streams. Raises BadRequest, whose `param`
        is the first field that is wrong and whose message says what is wrong with each.
        """
        fields = _Fields(given)
        key = new_key()
        created = ApiKey(
            id=uuid.uuid4().hex,
            name=fields.read("name", _name) or "",
            digest=key_digest(key),
            created_at=self._clock(),
            expires_at=fields.read("expires_at", self._expiry),
            policy=KeyPolicy(
                models=fields.read("models", self._models),
                rate_limit=fields.read("rate_limit", _rate),
                tokens_per_day=fields.read("tokens_per_day", _up_to(_MAX_TOKENS_PER_DAY)),
                concurrent_streams=fields.read("concurrent_streams", _up_to(_MAX_STREAMS)),
            ),
        )
        if not self._can_limit:
            fields.wrong |= dict.fromkeys(created.policy.limits, _NOT_COUNTED)
        fields.refuse_if_wrong()
        self._store.add(created)
        self._notify()
        return created, key

    def revoke(self, key_id: str) -> None:
        """Remove a key: refused from now on, by the other workers within a second. Its running
        requests go on. Raises NotFound.
        """
        if not self._store.remove(key_id):
            raise NotFound("there is no such key")
        self._notify()

    def _notify(self) -> None:
        with suppress(StorageUnavailable):  # the change is stored; workers poll for it
            self._on_change()

    def _expiry(self, value: object) -> float:
        expires_at = _instant(value)
        if not self._clock() < expires_at < 253_402_300_800:  # the year 10000
            raise ValueError("must lie in the future")
        return expires_at

    def _models(self, value: object) -> frozenset[str]:
        if (
            not isinstance(value, list)
            or not value
            or not all(isinstance(name, str) for name in value)
        ):
            raise ValueError("must be an array of models' ids, or null for all")
        try:
            return frozenset(map(self._model_id, value))
        except ModelNotFound as error:
            raise ValueError(f"names what is no model: {error.message}") from None


class _Fields:
    """Parses fields and collects errors in `wrong`, by field, in the order of reading."""

    def __init__(self, given: Mapping[str, object]) -> None:
        self._given = given
        unknown = [name for name in given if name not in FIELDS]
        self.wrong: dict[str, str] = {
            name[:64]: f"is not known; allowed: {', '.join(FIELDS)}" for name in unknown[:8]
        }
        if given.get("name") is None:
            self.wrong["name"] = "is missing"

    def read(self, name: str, parse: Callable[[object], T]) -> T | None:
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return parse(value)
        except ValueError as error:
            self.wrong[name] = str(error)
            return None

    def refuse_if_wrong(self) -> None:
        if self.wrong:
            what = "; ".join(f"{name}: {fault}" for name, fault in self.wrong.items())
            raise BadRequest(what, param=next(iter(self.wrong)))


def _name(value: object) -> str:
    if (
        not isinstance(value, str)
        or not value.strip().isprintable()
        or not 1 <= len(value.strip()) <= 128
    ):
        raise ValueError("must be a text of 1 to 128 printable characters")
    return value.strip()


def _rate(value: object) -> Rate:
    if not isinstance(value, str):
        raise ValueError("must be a text such as 60/hour")
    return parse_rate(value)


def _up_to(most: int) -> Callable[[object], int]:
    def count(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ValueError(f"must be a whole number from 1 to {most}")
        return value

    return count


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
