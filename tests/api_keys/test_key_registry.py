"""How client keys are made: what may be said of them, and what is told when it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.api_keys.registry import ApiKeys
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.networks import parse_network
from gbproxy.domain.principal import ApiKey, KeyPolicy, Rate, key_digest
from gbproxy.errors import BadRequest, NotFound, StorageUnavailable
from tests.support.json_values import JSON_VALUES

NOW = 1_800_000_000.0


class FakeStore:
    def __init__(self) -> None:
        self.keys: list[ApiKey] = []

    def all(self) -> list[ApiKey]:
        return self.keys

    def add(self, key: ApiKey) -> None:
        self.keys.append(key)

    def change(self, key_id: str, edit: Callable[[ApiKey], ApiKey]) -> ApiKey | None:
        for index, key in enumerate(self.keys):
            if key.id == key_id:
                self.keys[index] = edit(key)
                return self.keys[index]
        return None

    def remove(self, key_id: str) -> bool:
        before = len(self.keys)
        self.keys = [key for key in self.keys if key.id != key_id]
        return len(self.keys) < before


def register(store: FakeStore | None = None, *, can_limit: bool = True) -> ApiKeys:
    return ApiKeys(
        store or FakeStore(),
        lambda name: Catalogue().get(name).id,
        can_limit=can_limit,
        clock=lambda: NOW,
    )


def test_a_name_is_enough() -> None:
    store = FakeStore()

    made, key = register(store).create({"name": " laptop "})

    assert store.keys == [made]
    assert (made.name, made.created_at, made.expires_at, made.policy) == (
        "laptop",
        NOW,
        None,
        KeyPolicy(),
    )
    assert made.digest == key_digest(key)
    assert key.startswith("sk-gbproxy-")
    assert len(key) > 50


def test_no_two_keys_are_alike() -> None:
    made = [register().create({"name": "same"}) for _ in range(20)]

    assert len({key for _, key in made}) == len({each.id for each, _ in made}) == 20


def test_everything_that_can_be_said() -> None:
    made, _ = register().create(
        {
            "name": "n",
            "expires_at": "2027-02-01T00:00:00+01:00",
            "models": ["gemini-business", "gemini-2.5-pro"],
            "rate_limit": "10/second",
            "tokens_per_day": 1000,
            "concurrent_streams": 2,
            "allowed_addresses": ["10.0.0.0/8", "::1", "10.0.0.0/8"],
        }
    )

    assert made.expires_at == 1_801_436_400.0
    assert made.policy == KeyPolicy(
        frozenset({"gemini-auto", "gemini-2.5-pro"}),
        Rate(10, 1),
        1000,
        2,
        (parse_network("10.0.0.0/8"), parse_network("::1")),
    )


def test_null_is_what_was_not_said() -> None:
    made, _ = register().create(
        {"name": "n", "expires_at": None, "models": None, "rate_limit": None}
    )

    assert (made.expires_at, made.policy) == (None, KeyPolicy())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", None),
        ("name", ""),
        ("name", "  "),
        ("name", "a\nb"),
        ("name", "x" * 129),
        ("name", 5),
        ("expires_at", NOW),
        ("expires_at", NOW - 1),
        ("expires_at", 1e300),
        ("expires_at", 253_402_300_799.5),
        ("expires_at", 10**400),
        ("expires_at", True),
        ("expires_at", "2030-01-01"),
        ("expires_at", "2030-01-01T00:00:00"),
        ("expires_at", "soon"),
        ("models", []),
        ("models", "gemini-auto"),
        ("models", [1]),
        ("models", ["gpt-4o"]),
        ("rate_limit", "often"),
        ("rate_limit", 10),
        ("tokens_per_day", 0),
        ("tokens_per_day", True),
        ("tokens_per_day", 1.5),
        ("concurrent_streams", "2"),
        ("concurrent_streams", 10**9),
        ("allowed_addresses", "10.0.0.0/8"),
        ("allowed_addresses", []),
        ("allowed_addresses", [5]),
        ("allowed_addresses", ["10.0.0.1/8"]),
        ("allowed_addresses", ["home"]),
        ("allowed_addresses", [f"10.0.0.{i}" for i in range(101)]),
        ("tokens_per_dya", 5),
    ],
)
def test_what_is_wrong_is_named(field: str, value: object) -> None:
    store = FakeStore()

    with pytest.raises(BadRequest) as caught:
        register(store).create({"name": "n", field: value})

    assert caught.value.param == field
    assert caught.value.message.startswith(f"{field}: ")
    assert store.keys == []


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        register().create({"rate_limit": "x", "models": 1, "tokens_per_day": 5})

    assert caught.value.param == "name"
    assert [part.partition(":")[0] for part in caught.value.message.split("; ") if ":" in part] == [
        "name", "models", "rate_limit"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "limit", [{"rate_limit": "9/hour"}, {"tokens_per_day": 5}, {"concurrent_streams": 1}]
)
def test_a_limit_that_nobody_can_count_is_refused(limit: dict[str, object]) -> None:
    alone = register(can_limit=False)

    with pytest.raises(BadRequest, match="REDIS_URL") as caught:
        alone.create({"name": "n", **limit})

    assert caught.value.param == next(iter(limit))
    assert alone.create({"name": "n", "models": ["gemini-auto"], "expires_at": NOW + 1})


def test_what_is_not_given_stays_as_it_was() -> None:
    store = FakeStore()
    keys = register(store)
    made, _ = keys.create(
        {"name": "n", "expires_at": NOW + 5, "models": ["gemini-auto"], "tokens_per_day": 9}
    )
    ended = replace(made, expires_at=NOW - 5)
    store.keys = [ended]

    changed = keys.change(made.id, {"name": "m", "rate_limit": "5/hour", "models": None})

    policy = KeyPolicy(rate_limit=Rate(5, 3600), tokens_per_day=9)
    assert changed == replace(ended, name="m", policy=policy)
    assert store.keys == [changed]


def test_a_key_with_a_limit_that_nobody_can_count_may_be_changed() -> None:
    store = FakeStore()
    made, _ = register(store).create({"name": "n", "tokens_per_day": 9})
    alone = register(store, can_limit=False)

    with pytest.raises(BadRequest, match="REDIS_URL"):
        alone.change(made.id, {"tokens_per_day": 8})
    changed = alone.change(made.id, {"allowed_addresses": ["::1"]})

    policy = KeyPolicy(tokens_per_day=9, allowed_addresses=(parse_network("::1"),))
    assert changed == replace(made, policy=policy)


def test_a_key_is_revoked_once() -> None:
    store = FakeStore()
    keys = register(store)
    made, _ = keys.create({"name": "n"})

    keys.revoke(made.id)

    assert keys.list() == []
    with pytest.raises(NotFound):
        keys.revoke(made.id)


def test_a_key_that_is_stored_is_told_though_this_worker_cannot_refresh() -> None:
    def away() -> None:
        raise StorageUnavailable("away")

    made, _ = ApiKeys(FakeStore(), str, on_change=away).create({"name": "n"})

    assert made.name == "n"


_FIELDS = st.sampled_from(
    [
        "name",
        "expires_at",
        "models",
        "rate_limit",
        "tokens_per_day",
        "concurrent_streams",
        "allowed_addresses",
    ]
)


@given(st.dictionaries(_FIELDS | st.text(), JSON_VALUES))
def test_nothing_that_is_said_breaks_it(given_fields: dict[str, Any]) -> None:
    store = FakeStore()

    with suppress(BadRequest):
        made, _ = register(store).create(given_fields)
        assert store.keys == [made]
        return

    assert store.keys == []
