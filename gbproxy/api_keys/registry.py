"""Lists, creates, changes and revokes API keys, for administrators."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from gbproxy.api_keys.key_input import FIELDS, KeyInput, parse
from gbproxy.domain.principal import ApiKey, key_digest, new_key
from gbproxy.errors import NotFound, StorageUnavailable
from gbproxy.observability import audit
from gbproxy.storage.api_keys import ApiKeyStore


class ApiKeys:
    """`model_id`: the id of a model by its name; raises ModelNotFound. `on_change`: called after
    each change. `can_limit`: True if all workers count together. `clock`: Unix seconds.

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
        read = self._parsed(given)
        key = new_key()
        created = ApiKey(
            id=uuid.uuid4().hex,
            name=read.name,
            digest=key_digest(key),
            created_at=self._clock(),
            expires_at=read.expires_at,
            policy=read.policy,
        )
        self._store.add(created)
        audit.did("key.created", created.id, name=created.name, key=created.fingerprint)
        self._notify()
        return created, key

    def change(self, key_id: str, given: Mapping[str, object]) -> ApiKey:
        """Change the given fields of a key, as for `create`; with None it has none of its own. For
        its next request, in the other workers within a second.

        Raises BadRequest as `create` does, and NotFound.
        """

        # On the values as they are now: what another administrator has changed meanwhile stays.
        def edit(key: ApiKey) -> ApiKey:
            read = self._parsed(given, key)
            return replace(key, name=read.name, expires_at=read.expires_at, policy=read.policy)

        changed = self._store.change(key_id, edit)
        if changed is None:
            raise NotFound("there is no such key")
        named = [name for name in FIELDS if name in given]
        audit.did("key.changed", key_id, name=changed.name, key=changed.fingerprint, fields=named)
        self._notify()
        return changed

    def revoke(self, key_id: str) -> None:
        """Remove a key: refused from now on, by the other workers within a second. Its running
        requests go on. Raises NotFound.
        """
        known = next((key for key in self._store.all() if key.id == key_id), None)
        if known is None or not self._store.remove(key_id):
            raise NotFound("there is no such key")
        audit.did("key.revoked", key_id, name=known.name, key=known.fingerprint)
        self._notify()

    def _parsed(self, given: Mapping[str, object], known: ApiKey | None = None) -> KeyInput:
        now, can_limit = self._clock(), self._can_limit
        return parse(given, self._model_id, now, can_limit=can_limit, known=known)

    def _notify(self) -> None:
        with suppress(StorageUnavailable):  # the change is stored; workers poll for it
            self._on_change()
