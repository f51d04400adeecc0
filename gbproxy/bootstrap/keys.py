"""Client keys, and what each may ask for."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.api_keys.registry import ApiKeys
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.rate_limits import open_store
from gbproxy.rate_limits.limiter import Limiter, Rules
from gbproxy.rate_limits.store import LimitStore


@dataclass(frozen=True, slots=True)
class KeyParts:
    verifier: KeyVerifier
    registry: ApiKeys
    limit_store: LimitStore
    limiter: Limiter


def make_keys(base: Foundation, models: AvailableModels) -> KeyParts:
    settings, rows = base.settings, base.storage.api_keys
    verifier = KeyVerifier((key.get_secret_value() for key in settings.api_keys), rows)
    registry = ApiKeys(
        rows,
        lambda name: models.get(name).id,
        can_limit=settings.can_limit_keys,
        on_change=verifier.refresh,
    )
    store = open_store(settings.redis_url.get_secret_value() if settings.redis_url else None)
    rules = Rules(settings.rate_limit, settings.rate_limit_by, settings.model_interval_s)
    return KeyParts(verifier, registry, store, Limiter(store, rules, meter=base.meter))
