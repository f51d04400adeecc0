"""Keys that are accepted and refused, and how often the database is read for that."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.domain.principal import ApiKey, KeyPolicy, key_digest
from gbproxy.errors import StorageUnavailable, Unauthenticated
from tests.support.clock import Clock

OWN, STORED, OTHER = (
    "sk-own-0123456789abcdef",
    "sk-stored-0123456789abcdef",
    "sk-other-0123456789abcdef",
)
ALLOWED = KeyPolicy(models=frozenset({"gemini-auto"}), tokens_per_day=5)


class FakeStore:
    """The stored keys, and how often they are read."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.now = 1
        self.is_away = False
        self.version_reads = 0
        self.reads = 0

    def version(self) -> int:
        self.version_reads += 1
        if self.is_away:
            raise StorageUnavailable("away", retry_after=2)
        return self.now

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return list(self.keys)

    def change(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.now += 1


class Worker:
    """A verifier whose time passes when it sleeps, or when a test says so."""

    def __init__(self, store: FakeStore) -> None:
        self.store = store
        self.clock = Clock()
        self.slept: list[float] = []
        self.verifier = KeyVerifier(
            [OWN], store, clock=self.clock, monotonic=self.clock, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.now += seconds

    def knows(self, key: str) -> bool:
        return knows(self.verifier, key)


def knows(verifier: KeyVerifier, key: str) -> bool:
    try:
        verifier.find(key)
    except Unauthenticated:
        return False
    return True


def stored(key: str = STORED, name: str = "one", expires_at: float | None = None) -> ApiKey:
    return ApiKey(name, name, key_digest(key), 0.0, expires_at, ALLOWED)


def test_the_environments_keys_need_no_database() -> None:
    worker = Worker(FakeStore())
    worker.store.is_away = True

    principal = worker.verifier.find(OWN)

    assert (principal.key_digest, principal.key_id, principal.policy) == (
        key_digest(OWN),
        None,
        KeyPolicy(),
    )
    assert worker.store.version_reads == 0


def test_a_stored_key_brings_what_it_allows() -> None:
    worker = Worker(FakeStore(stored()))

    principal = worker.verifier.find(STORED)

    assert (principal.key_digest, principal.key_id, principal.policy) == (
        key_digest(STORED),
        "one",
        ALLOWED,
    )


def test_a_key_that_was_just_created_is_good_at_once() -> None:
    worker = Worker(FakeStore())
    worker.verifier.pull_changes()
    worker.clock.now += 10
    worker.store.change(stored())

    assert worker.knows(STORED)
    assert worker.slept == []


def test_a_key_that_was_revoked_is_refused_after_the_next_round() -> None:
    worker = Worker(FakeStore(stored()))
    assert worker.knows(STORED)
    worker.store.change()

    worker.verifier.pull_changes()

    assert not worker.knows(STORED)


def test_a_key_is_refused_once_it_has_expired() -> None:
    worker = Worker(FakeStore(stored(expires_at=Clock().now + 5)))
    assert worker.knows(STORED)
    worker.clock.now += 5

    with pytest.raises(Unauthenticated, match="expired"):
        worker.verifier.find(STORED)


def test_known_keys_need_no_read_of_the_database() -> None:
    worker = Worker(FakeStore(stored()))
    worker.verifier.pull_changes()

    assert all(worker.knows(STORED) for _ in range(100))
    assert (worker.store.version_reads, worker.store.reads) == (1, 1)


def test_keys_are_read_only_when_something_has_changed() -> None:
    worker = Worker(FakeStore(stored()))
    for _ in range(10):
        worker.verifier.pull_changes()

    assert (worker.store.version_reads, worker.store.reads) == (10, 1)


def test_guesses_ask_the_database_twenty_times_a_second_at_most() -> None:
    worker = Worker(FakeStore(stored()))
    began = worker.clock.now

    assert not any(worker.knows(f"sk-guess-{n}") for n in range(100))

    assert worker.clock.now - began == pytest.approx(99 / 20)
    assert worker.store.version_reads == 100
    assert worker.store.reads == 1


def test_guesses_that_come_together_share_one_read() -> None:
    store = FakeStore(stored())
    waiting, go = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        go.wait(5)

    verifier = KeyVerifier([OWN], store, sleep=sleep)
    verifier.pull_changes()

    def guess(n: int) -> bool:
        with pytest.raises(Unauthenticated):
            verifier.find(f"sk-guess-{n}")
        return True

    with ThreadPoolExecutor(20) as guessers:
        made = [guessers.submit(guess, n) for n in range(20)]
        assert waiting.wait(5)
        go.set()
        assert all(each.result(5) for each in made)

    assert 2 <= store.version_reads <= 4  # those who came while one was under way need another


def test_the_round_does_not_wait_for_those_who_guess() -> None:
    store = FakeStore(stored())
    asleep, wake = threading.Event(), threading.Event()

    def sleep(seconds: float) -> None:
        asleep.set()
        wake.wait(5)

    verifier = KeyVerifier([OWN], store, sleep=sleep)
    verifier.pull_changes()
    with ThreadPoolExecutor(1) as guessers:
        guess = guessers.submit(lambda: knows(verifier, "sk-guess"))
        assert asleep.wait(5)
        verifier.pull_changes()
        looks = store.version_reads
        wake.set()

    assert not guess.result(5)
    assert looks == 1


def test_without_the_database_known_keys_stay_good_and_unknown_ones_cannot_be_judged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker(FakeStore(stored()))
    worker.verifier.pull_changes()
    worker.store.is_away = True

    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                worker.verifier.pull_changes()
            with pytest.raises(StorageUnavailable):
                worker.verifier.find(OTHER)
        assert worker.knows(STORED)
        assert worker.knows(OWN)
        worker.store.is_away = False
        worker.store.change()
        worker.verifier.pull_changes()

    assert not worker.knows(STORED)
    assert [record.getMessage() for record in caplog.records] == [
        "api_keys.behind",
        "api_keys.current",
    ]
