"""What is known of each account's models and tools: how it is learnt, forgotten, and shared by the
workers.
"""

from __future__ import annotations

import pytest

from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.models import NOTHING_SAID, AccountCapabilities, Tool
from gbproxy.errors import StorageUnavailable
from gbproxy.storage.account_health import SupportRows
from tests.support.background import ONE, TWO, FragileDatabase
from tests.support.clock import Clock

IMAGE: Tool = "imageGenerationSpec"
HOUR_S, DAY_S = 3600.0, 86_400.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def support(clock: Clock) -> ModelSupport:
    return ModelSupport(clock=clock)


def test_a_model_that_was_refused_is_tried_again_after_an_hour(
    support: ModelSupport, clock: Clock
) -> None:
    support.model_refused(ONE, "old", is_named=True)

    assert support.refuses(ONE, "old")
    assert not support.refuses(TWO, "old")
    assert not support.refuses(ONE, "other")
    assert support.without_model("old") == {ONE.id}
    clock.now += HOUR_S
    assert not support.refuses(ONE, "old")
    assert support.without_model("old") == set()


def test_a_model_that_was_taken_is_refused_only_by_its_name_or_twice_in_a_row(
    support: ModelSupport,
) -> None:
    support.model_accepted(ONE, "m")

    support.model_refused(ONE, "m", is_named=False)
    assert not support.refuses(ONE, "m")
    support.model_accepted(ONE, "m")
    support.model_refused(ONE, "m", is_named=False)
    assert not support.refuses(ONE, "m")
    support.model_refused(ONE, "m", is_named=False)
    assert support.refuses(ONE, "m")


def test_a_model_that_was_taken_and_is_refused_by_its_name_has_ended(support: ModelSupport) -> None:
    support.model_accepted(ONE, "m")
    support.model_refused(ONE, "m", is_named=True)

    assert support.refuses(ONE, "m")


def test_automatic_choice_is_never_refused(support: ModelSupport) -> None:
    support.model_refused(ONE, None, is_named=True)

    assert not support.refuses(ONE, None)
    assert support.without_model(None) == ()


def test_a_tool_that_was_refused_is_off_for_an_hour(support: ModelSupport, clock: Clock) -> None:
    support.tool_refused(ONE, IMAGE, is_named=True)

    assert (support.tools_off(ONE), support.tools_off(TWO)) == ({IMAGE}, frozenset())
    assert support.without_tools([IMAGE]) == {ONE.id}
    clock.now += HOUR_S
    assert support.tools_off(ONE) == frozenset()


@pytest.mark.parametrize("is_named", [True, False])
def test_what_the_configuration_leaves_on_was_refused_to_one_question_only(
    support: ModelSupport, is_named: bool
) -> None:
    support.note_capabilities(ONE, AccountCapabilities(tools_on=frozenset({IMAGE})))

    support.tool_refused(ONE, IMAGE, is_named=is_named)

    assert support.tools_off(ONE) == frozenset()


def test_a_guess_gives_way_to_the_configuration(support: ModelSupport) -> None:
    support.tool_refused(ONE, IMAGE, is_named=False)
    support.tool_refused(ONE, "webGroundingSpec", is_named=False)

    support.note_capabilities(ONE, AccountCapabilities(tools_on=frozenset({IMAGE})))

    assert support.tools_off(ONE) == {"webGroundingSpec"}


def test_what_was_taken_is_not_off_by_one_refusal(support: ModelSupport) -> None:
    support.tools_accepted(ONE, [IMAGE])

    support.tool_refused(ONE, IMAGE, is_named=True)
    assert support.tools_off(ONE) == frozenset()
    support.tool_refused(ONE, IMAGE, is_named=True)
    assert support.tools_off(ONE) == {IMAGE}


def test_an_account_lacks_a_model_that_only_others_list_or_that_is_disabled(
    support: ModelSupport,
) -> None:
    support.note_capabilities(ONE, AccountCapabilities(listed=("a",), disabled=frozenset({"c"})))

    # a model that nobody lists may be served all the same
    assert support.without_model("b") == set()
    support.note_capabilities(TWO, AccountCapabilities(listed=("a", "b")))
    assert support.without_model("b") == {ONE.id}
    assert support.without_model("a") == set()
    assert support.without_model("c") == {ONE.id}
    assert support.refuses(ONE, "c")


def test_what_a_configuration_said_holds_for_a_day_while_it_cannot_be_read(
    support: ModelSupport, clock: Clock
) -> None:
    known = AccountCapabilities(listed=("a",), tools_off=frozenset({IMAGE}))
    support.note_capabilities(ONE, known)

    for _ in range(24):
        clock.now += HOUR_S
        support.note_capabilities(ONE, None)
        assert support.capabilities([ONE]) == [known]
    clock.now += HOUR_S
    support.note_capabilities(ONE, None)

    assert support.capabilities([ONE]) == [NOTHING_SAID]
    assert support.looked_at(ONE) == (clock.now, False)


def test_an_empty_configuration_takes_the_place_of_an_earlier_one(support: ModelSupport) -> None:
    support.note_capabilities(ONE, AccountCapabilities(tools_off=frozenset({IMAGE})))

    support.note_capabilities(ONE, NOTHING_SAID)

    assert support.tools_off(ONE) == frozenset()


def test_an_account_that_was_forgotten_begins_anew(support: ModelSupport) -> None:
    support.note_capabilities(ONE, AccountCapabilities(listed=("a",), tools_off=frozenset({IMAGE})))
    support.model_refused(ONE, "m", is_named=True)

    support.forget(ONE)

    assert (support.refuses(ONE, "m"), support.tools_off(ONE), support.looked_at(ONE)) == (
        False,
        frozenset(),
        None,
    )


def test_names_that_clients_invent_are_remembered_up_to_a_bound(support: ModelSupport) -> None:
    support.note_capabilities(ONE, AccountCapabilities(tools_off=frozenset({IMAGE})))
    for number in range(2000):
        support.model_refused(ONE, f"gemini-{number}", is_named=True)

    known = [number for number in range(2000) if support.refuses(ONE, f"gemini-{number}")]

    assert known[-1] == 1999
    assert 100 < len(known) <= 500
    assert support.tools_off(ONE) == {IMAGE}


# Several workers


@pytest.fixture
def workers(database: FragileDatabase, clock: Clock) -> list[ModelSupport]:
    return [ModelSupport(SupportRows(database), clock) for _ in range(2)]


def shared(workers: list[ModelSupport], clock: Clock) -> None:
    for worker in workers:
        clock.now += 1.0
        worker.sync()


def test_what_one_worker_has_found_out_all_know(workers: list[ModelSupport], clock: Clock) -> None:
    here, there = workers
    shared(workers, clock)
    known = AccountCapabilities(
        ("a",),
        frozenset({"b"}),
        frozenset({"auto"}),
        frozenset({IMAGE}),
        frozenset({"toolRegistry"}),
    )

    here.note_capabilities(ONE, known)
    here.model_refused(ONE, "m", is_named=True)
    shared(workers, clock)

    assert there.capabilities([ONE]) == [known]
    assert there.refuses(ONE, "m")
    assert there.looked_at(ONE) is not None
    there.forget(ONE)
    shared(workers[::-1], clock)
    assert not here.refuses(ONE, "m")


def test_it_outlives_a_restart(
    workers: list[ModelSupport], database: FragileDatabase, clock: Clock
) -> None:
    workers[0].model_refused(ONE, "m", is_named=True)
    workers[0].sync()

    later = ModelSupport(SupportRows(database), clock)
    later.sync()

    assert later.refuses(ONE, "m")


def test_while_the_database_is_away_each_worker_knows_what_it_found_out_and_tells_it_later(
    workers: list[ModelSupport], database: FragileDatabase, clock: Clock
) -> None:
    here, there = workers
    shared(workers, clock)
    database.away = True

    here.model_refused(ONE, "m", is_named=True)
    with pytest.raises(StorageUnavailable):
        here.sync()
    assert here.refuses(ONE, "m")
    database.away = False
    shared(workers, clock)

    assert there.refuses(ONE, "m")


def test_nothing_is_read_more_often_than_once_a_second_without_news(
    workers: list[ModelSupport], database: FragileDatabase, clock: Clock
) -> None:
    here = workers[0]
    here.sync()
    database.away = True

    here.sync()  # not even asked for
    clock.now += 1.0
    with pytest.raises(StorageUnavailable):
        here.sync()


def test_what_nobody_has_noted_for_long_is_deleted(
    workers: list[ModelSupport], database: FragileDatabase, clock: Clock
) -> None:
    here = workers[0]
    here.model_refused(ONE, "old", is_named=True)
    here.model_accepted(ONE, "good")
    here.sync()
    clock.now += 2 * DAY_S

    here.forget_old()

    assert [row.subject for row in SupportRows(database).read(0.0)] == ["model:good"]
