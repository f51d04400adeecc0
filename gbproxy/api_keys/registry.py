"""Lists, creates and revokes API keys, for administrators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from gbproxy.api_keys.key_input import parse
from gbproxy.domain.principal import ApiKey, key_digest, new_key
from gbproxy.errors import NotFound, StorageUnavailable
from gbproxy.storage.api_keys import ApiKeyStore


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

        `given`: the fields of `KeyInput`. Raises BadRequest, whose `param` is the first field that
        is wrong and whose message says what is wrong with each.
        """
        now = self._clock()
        fields = parse(given, self._model_id, now, can_limit=self._can_limit)
        key = new_key()
        created = ApiKey(
            id=uuid.uuid4().hex,
            name=fields.name,
            digest=key_digest(key),
            created_at=now,
            expires_at=fields.expires_at,
            policy=fields.policy,
        )
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
