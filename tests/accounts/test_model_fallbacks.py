"""What an account is asked for: models and tools that it has, and what instead once it has refused
them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.failover import Failover, Next
from gbproxy.accounts.model_fallbacks import RequestedModel
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import WIDGET
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import ALL_TOOLS, AccountCapabilities, Model, Tool
from gbproxy.domain.principal import ANONYMOUS, KeyPolicy, Principal
from gbproxy.errors import (
    GatewayError,
    ModelNotFound,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    UpstreamUnclear,
)
from tests.support.pools import A, B, disable_only, pool

CATALOGUE = Catalogue()
AUTO, FLASH = CATALOGUE.get("gemini-auto"), CATALOGUE.get("gemini-3.8-flash")
IMAGE: Tool = "imageGenerationSpec"
WEB: Tool = "webGroundingSpec"
PAINTER = Model("painter", {WIDGET: None}, (IMAGE,), "images")


def request(accounts: Pool, model: Model = AUTO, support: ModelSupport | None = None) -> Failover:
    requested = RequestedModel(CATALOGUE.chain(model), support or ModelSupport())
    return Failover(accounts, requested, pause=lambda seconds: None)


def refused(*named: str, kind: type[GatewayError] = RequestRefused) -> GatewayError:
    error = kind("not enabled")
    error.named = frozenset(named)
    return error


def without(*tools: Tool) -> tuple[Tool, ...]:
    return tuple(tool for tool in ALL_TOOLS if tool not in tools)


@pytest.mark.parametrize("kind", [RequestRefused, SessionDenied, UpstreamUnclear])
def test_a_tool_that_a_refusal_names_is_left_out_and_that_is_remembered_once_it_has_helped(
    kind: type[GatewayError],
) -> None:
    support = ModelSupport()
    attempts = request(pool(A), support=support)

    with attempts.lease():
        steps = [
            attempts.failed(refused(IMAGE, kind=kind)),
            attempts.failed(refused(WEB, kind=kind)),
        ]
        tools = attempts.model.tools
        before = support.tools_off(A)
        attempts.answered()

    assert steps == [Next.SAME] * 2
    assert tools == without(IMAGE, WEB)
    assert (before, support.tools_off(A)) == (frozenset(), {IMAGE, WEB})
    later = request(pool(A), support=support)
    with later.lease():
        assert later.model.tools == without(IMAGE, WEB)


def test_a_denial_that_names_nothing_is_tried_once_in_a_request_without_what_may_be_off() -> None:
    attempts = request(pool(A, B))
    asked = []

    with attempts.lease():
        asked.append((attempts.failed(refused(kind=SessionDenied)), attempts.model.tools))
        asked.append((attempts.failed(refused(kind=SessionDenied)), attempts.model.tools))
    with attempts.lease(), pytest.raises(UpstreamUnclear):
        attempts.failed(refused(kind=SessionDenied))

    assert [step for step, _ in asked] == [Next.SAME, Next.OTHER]
    assert asked[0][1] == ("toolRegistry",)


def test_a_denial_is_put_down_to_no_tool_that_the_configuration_leaves_on() -> None:
    support = ModelSupport()
    support.note_capabilities(
        A, AccountCapabilities(tools_on=frozenset({IMAGE, WEB, "videoGenerationSpec"}))
    )
    attempts = request(pool(A, B), support=support)

    with attempts.lease():
        assert attempts.failed(refused(kind=SessionDenied)) is Next.OTHER


def test_an_empty_answer_is_tried_again_only_if_a_tool_is_known_to_be_off_by_now() -> None:
    support = ModelSupport()
    attempts = request(pool(A, B), support=support)

    with attempts.lease():
        support.note_capabilities(A, AccountCapabilities(tools_off=frozenset({IMAGE})))
        steps = [attempts.failed(UpstreamUnclear("empty")) for _ in range(2)]

    assert steps == [Next.SAME, Next.OTHER]
    assert attempts.model.tools == without(IMAGE)


def test_a_refusal_that_names_nothing_leads_behind_the_last_model_to_one_without_tools() -> None:
    support = ModelSupport()
    attempts = request(pool(A, B), FLASH, support)

    with attempts.lease():
        asked = []
        for _ in range(2):
            step = attempts.failed(refused())
            asked.append((step, attempts.model.id, attempts.model.tools))
        attempts.answered()

    assert asked == [
        (Next.SAME, AUTO.id, AUTO.tools),
        (Next.SAME, AUTO.id, ("toolRegistry",)),
    ]
    # The tools were at fault, so the model was not.
    assert support.tools_off(A) == {IMAGE, WEB, "videoGenerationSpec"}
    assert not support.refuses(A, FLASH.name_at(WIDGET))


@pytest.mark.parametrize("kind", [SessionDenied, UpstreamUnclear])
def test_a_denial_that_names_the_model_leads_to_its_successor_before_tools_are_suspected(
    kind: type[GatewayError],
) -> None:
    support = ModelSupport()
    attempts = request(pool(A), FLASH, support)

    with attempts.lease():
        step = attempts.failed(refused("model", kind=kind))
        asked = attempts.model
        attempts.answered()

    assert (step, asked) == (Next.SAME, AUTO)
    assert support.refuses(A, FLASH.name_at(WIDGET))


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (SessionDenied, [Next.SAME, Next.SAME, Next.OTHER]),  # the second without tools
        (UpstreamUnclear, [Next.SAME, Next.OTHER]),
    ],
)
def test_a_denial_behind_the_last_model_goes_to_another_account(
    kind: type[GatewayError], steps: list[Next]
) -> None:
    attempts = request(pool(A, B), FLASH)

    with attempts.lease():
        taken = [attempts.failed(refused("model", kind=kind)) for _ in steps]

    assert taken == steps


def test_a_question_that_is_refused_without_tools_too_gets_the_first_refusal() -> None:
    support = ModelSupport()
    attempts = request(pool(A, B), support=support)
    first = refused()

    with attempts.lease():
        assert attempts.failed(first) is Next.SAME
        with pytest.raises(RequestRefused) as caught:
            attempts.failed(refused())

    assert caught.value is first
    assert support.tools_off(A) == frozenset()


def test_a_refusal_that_names_something_else_or_comes_where_all_tools_are_on_is_told_at_once() -> (
    None
):
    support = ModelSupport()
    support.note_capabilities(
        A, AccountCapabilities(tools_on=frozenset({IMAGE, WEB, "videoGenerationSpec"}))
    )
    for attempts, error in (
        (request(pool(A, B)), refused("model")),
        (request(pool(A, B), support=support), refused()),
    ):
        with attempts.lease(), pytest.raises(RequestRefused):
            attempts.failed(error)


def test_an_account_whose_tool_is_off_is_not_leased_to_who_needs_it() -> None:
    support = ModelSupport()
    support.note_capabilities(A, AccountCapabilities(tools_off=frozenset({IMAGE})))
    accounts = pool(A, B)

    drawing, text = request(accounts, PAINTER, support), request(accounts, support=support)
    with drawing.lease() as first:
        assert (first, drawing.model.tools) == (B, (IMAGE,))
    with text.lease() as second:
        assert (second, text.model.tools) == (A, without(IMAGE))


def test_an_account_that_refuses_the_tool_by_name_hands_the_request_on() -> None:
    support = ModelSupport()
    attempts = request(pool(A, B), PAINTER, support)

    with attempts.lease():
        step = attempts.failed(refused(IMAGE))
    with attempts.lease() as other:
        pass

    assert (step, other) == (Next.OTHER, B)
    assert support.tools_off(A) == {IMAGE}


def test_where_every_account_has_the_tool_off_the_error_says_so() -> None:
    support = ModelSupport()
    for account in (A, B):
        support.note_capabilities(account, AccountCapabilities(tools_off=frozenset({IMAGE})))

    with (
        pytest.raises(RequestRefused, match="'painter' needs imageGenerationSpec"),
        request(pool(A, B), PAINTER, support).lease(),
    ):
        pass


def test_where_the_account_with_the_tool_rests_its_rest_is_told() -> None:
    support = ModelSupport()
    support.note_capabilities(A, AccountCapabilities(tools_off=frozenset({IMAGE})))
    accounts = pool(A, B)
    accounts.failed(A, "images", QuotaExhausted("empty"))
    accounts.failed(B, "images", QuotaExhausted("empty"))

    with pytest.raises(QuotaExhausted), request(accounts, PAINTER, support).lease():
        pass


def test_an_account_that_has_the_model_goes_before_one_where_another_would_answer() -> None:
    support = ModelSupport()
    support.model_refused(A, FLASH.name_at(WIDGET), is_named=True)
    accounts = pool(A, B)

    attempts = request(accounts, FLASH, support)
    with attempts.lease() as first:
        assert (first, attempts.model) == (B, FLASH)
    disable_only(accounts, B.id)
    attempts = request(accounts, FLASH, support)
    with attempts.lease() as first:
        assert (first, attempts.model) == (A, AUTO)
    disable_only(accounts)
    attempts = request(accounts, FLASH, support)
    with attempts.lease(required=A.account_key) as first:
        assert (first, attempts.model) == (A, AUTO)


# Names


def offering(*known: tuple[object, AccountCapabilities]) -> AvailableModels:
    support = ModelSupport()
    for account, capabilities in known:
        support.note_capabilities(account, capabilities)  # type: ignore[arg-type]
    return AvailableModels(CATALOGUE, support, pool(A, B).enabled)


def ids(models: AvailableModels) -> list[str]:
    return [model.id for model in models.all()]


BUILT_IN_IDS = [model.id for model in CATALOGUE.all()]
SOME = AccountCapabilities(
    listed=("gemini-3.8-flash", "gemini-4-neon"), automatic=frozenset({"auto"})
)


def test_without_a_configuration_the_catalogue_is_listed() -> None:
    assert ids(offering()) == BUILT_IN_IDS
    assert ids(offering((A, AccountCapabilities()))) == BUILT_IN_IDS


def test_what_a_configuration_adds_is_listed_behind_the_catalogue() -> None:
    assert ids(offering((A, SOME))) == [*BUILT_IN_IDS, "gemini-4-neon"]


def test_an_id_that_is_an_alias_here_is_listed_where_an_account_has_it() -> None:
    known = replace(SOME, listed=("gemini-3.1-pro",))

    assert "gemini-3.1-pro" in ids(offering((A, known)))
    assert offering((A, known)).get("gemini-3.1-pro").id == "gemini-3.1-pro"
    assert offering().get("gemini-3.1-pro").id == "gemini-3.1-pro-preview"


def test_where_all_accounts_are_known_only_what_they_have_is_listed() -> None:
    models = offering((A, SOME), (B, AccountCapabilities(listed=("gemini-3.6-flash",))))

    # The upstream's own choices are there whatever is listed.
    assert ids(models) == [
        *("gemini-auto", "gemini-3.8-flash", "gemini-3.6-flash"),
        *("gemini-imagen", "gemini-veo", "gemini-4-neon"),
    ]
    # which may be asked for all the same
    assert models.get("gemini-2.5-pro").id == "gemini-2.5-pro"


def test_a_model_whose_tool_all_accounts_have_switched_off_is_not_listed() -> None:
    without_images = replace(SOME, tools_off=frozenset({"imageGenerationSpec"}))

    of_both = ids(offering((A, without_images), (B, without_images)))
    assert "gemini-imagen" not in of_both
    assert "gemini-veo" in of_both
    assert "gemini-imagen" in ids(offering((A, without_images), (B, SOME)))


def test_a_listed_model_is_a_model_of_its_own_name() -> None:
    models = offering((A, SOME))

    assert (
        models.get("models/gemini-4-neon")
        == models.resolve("gemini-4-neon")
        == Model("gemini-4-neon", {WIDGET: "gemini-4-neon"})
    )
    assert models.resolve("auto") is AUTO
    assert models.counted_as(models.resolve("gemini-4-neon")) == "gemini-4-neon"


def test_a_name_that_nobody_knows_is_asked_for_but_is_not_in_the_list() -> None:
    models = offering((A, SOME))

    guess = models.resolve("gemini-5-xenon")
    assert guess == Model("gemini-5-xenon", {WIDGET: "gemini-5-xenon"})
    assert models.counted_as(guess) == "gemini-auto"
    with pytest.raises(ModelNotFound):
        models.get("gemini-5-xenon")


def test_a_request_may_ask_for_what_its_key_may_use() -> None:
    principal = Principal(policy=KeyPolicy(models=frozenset({"gemini-2.5-pro", "gemini-auto"})))
    pro = CATALOGUE.get("gemini-2.5-pro")

    chains = [offering().requested(pro, who).chain for who in (ANONYMOUS, principal)]

    assert [[model.id for model in chain] for chain in chains] == [
        ["gemini-2.5-pro", "gemini-3.1-pro-preview", "gemini-auto"],
        ["gemini-2.5-pro", "gemini-auto"],
    ]
