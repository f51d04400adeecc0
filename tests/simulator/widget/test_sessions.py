"""Sessions: making, listing, owning and deleting them; the envelope of every call."""

import re
import threading

import pytest

from gbproxy.simulator import Account, HoldHeaders, Simulator, answer, empty_array, http_error
from tests.support.widget_client import Client

SHORT = r"collections/default_collection/engines/agentspace-engine/sessions/\d{20}"


@pytest.fixture
def other(upstream: Simulator) -> Client:
    return Client(upstream, upstream.add_account())


@pytest.mark.parametrize(
    "session",
    [{"name": "", "displayName": ""}, {"name": "-", "displayName": ""}, {"name": "a1b2c3"}, {}],
)
def test_any_seed_makes_a_session_of_its_own(client: Client, session: dict[str, str]) -> None:
    name = client.call("widgetCreateSession", {"session": session}).json()["session"]["name"]

    assert re.fullmatch(SHORT, name)


def test_an_empty_request_makes_a_session_too(upstream: Simulator, client: Client) -> None:
    name = client.call("widgetCreateSession", {}).json()["session"]["name"]

    assert upstream.sessions[name.rpartition("/")[2]].owner == client.account.csesidx


def test_the_name_is_full_when_the_switch_says_so(upstream: Simulator, client: Client) -> None:
    upstream.set(session_name="full")

    name = client.create_session()

    assert re.fullmatch(rf"projects/{client.account.project_number}/locations/global/{SHORT}", name)
    assert client.ask("2+2", name).status_code == 200


@pytest.mark.parametrize(
    ("status", "google_status"), [(400, "INVALID_ARGUMENT"), (500, "INTERNAL")]
)
def test_creation_may_fail_at_first(
    upstream: Simulator, client: Client, status: int, google_status: str
) -> None:
    upstream.set(create_session_transient=2, create_session_transient_status=status)

    answers = [client.call("widgetCreateSession", {}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["error"]["status"] == google_status


@pytest.mark.parametrize(("switch", "status"), [(401, 401), (403, 403)])
def test_an_unknown_config_is_refused(
    upstream: Simulator, client: Client, switch: int, status: int
) -> None:
    upstream.set(unknown_config=switch)

    assert client.call("widgetCreateSession", {}, configId="other").status_code == status
    assert client.call("widgetListSessions", {}, configId="other").status_code == 403


@pytest.mark.parametrize(
    "envelope",
    [
        {"configId": None},
        {"additionalParams": None},
        {"createSessionRequest": None},
        {"temperature": 1},
    ],
)
def test_a_bad_envelope_is_refused(client: Client, envelope: dict[str, object]) -> None:
    response = client.call("widgetCreateSession", {}, **envelope)

    assert response.status_code == 400
    assert response.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_an_unknown_verb_is_a_page_that_was_not_found(client: Client) -> None:
    response = client.call("widgetMakeCoffee", {})

    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    "verb", ["widgetDeleteSession", "widgetListSessionFileMetadata", "widgetAddContextFile"]
)
def test_another_owners_session_is_forbidden(client: Client, other: Client, verb: str) -> None:
    response = client.call(verb, {"name": other.create_session()})

    assert response.status_code == 403
    assert response.json()["error"]["status"] == "PERMISSION_DENIED"


def test_another_owners_session_takes_no_question(client: Client, other: Client) -> None:
    assert client.ask("Hello", other.create_session()).status_code == 403


def test_a_deleted_session_is_not_found_any_more(upstream: Simulator, client: Client) -> None:
    name = client.create_session()

    assert client.call("widgetDeleteSession", {"name": name}).status_code == 200

    assert upstream.sessions[name.rpartition("/")[2]].deleted
    again = client.call("widgetDeleteSession", {"name": name})
    assert again.status_code == 404
    assert again.json()["error"]["status"] == "NOT_FOUND"
    assert client.ask("Hello", name).status_code == 404
    assert upstream.state()["sessions"] == {"alive": 0, "deleted": 1}


@pytest.mark.parametrize("name", ["", "-", "123", "sessions/123", None, 5])
def test_what_is_no_session_name_is_invalid(client: Client, name: object) -> None:
    assert client.call("widgetDeleteSession", {"name": name}).status_code == 400


def test_get_takes_the_number_alone_and_tells_the_turns(client: Client) -> None:
    name = client.create_session()
    client.ask("2+2", name)

    session = client.call("widgetGetSession", {"name": name.rpartition("/")[2]}).json()["session"]

    assert session["turns"][0]["query"]["parts"] == [{"text": "2+2"}]
    replies = session["turns"][0]["detailedAssistAnswer"]["replies"]
    assert replies[0]["groundedContent"]["content"]["text"] == "2+2 = **4**"
    assert client.call("widgetGetSession", {"name": name}).status_code == 400


def test_listing_pages_through_the_accounts_own_sessions(client: Client, other: Client) -> None:
    mine = [client.create_session() for _ in range(3)]
    other.create_session()

    first = client.call("widgetListSessions", {"pageSize": 2}).json()["listSessionsResponse"]
    rest = client.call("widgetListSessions", {"pageSize": 2, "pageToken": first["nextPageToken"]})

    second = rest.json()["listSessionsResponse"]
    assert [s["name"] for s in first["sessions"] + second["sessions"]] == mine[::-1]
    assert "nextPageToken" not in second


def test_the_usual_filter_hides_sessions_without_a_title(client: Client) -> None:
    client.create_session()
    client.call("widgetCreateSession", {"session": {"name": "x", "displayName": "Titled"}})

    listed = client.call("widgetListSessions", {"filter": 'display_name != ""'}).json()

    assert [s["displayName"] for s in listed["listSessionsResponse"]["sessions"]] == ["Titled"]


def test_a_script_takes_the_place_of_a_verb_and_leaves_its_effect_out(
    upstream: Simulator, client: Client
) -> None:
    upstream.script(*http_error(503, "UNAVAILABLE"), path="widgetCreateSession")

    assert client.call("widgetCreateSession", {}).status_code == 503
    assert upstream.sessions == {}


def test_the_environment_names_all_that_a_gateway_needs(upstream: Simulator) -> None:
    account = upstream.add_account(csesidx="4242424242")

    assert upstream.environment(account) == {
        "GEMINI_BUSINESS_URL": upstream.url,
        "API_BASE_URL": f"{upstream.url}/v1alpha",
        "SECURE_C_SES": account.secure_c_ses,
        "HOST_C_OSES": account.host_c_oses,
        "CSESIDX": "4242424242",
        "CONFIG_ID": account.config_id,
    }
    assert upstream.environment()["CSESIDX"] == Account().csesidx


# Without a session that was opened before

OWN = "collections/default_collection/engines/agentspace-engine/sessions/a1b2c3-mine"


def test_a_session_of_the_clients_own_making_begins_with_its_first_question(
    upstream: Simulator, client: Client, other: Client
) -> None:
    assert client.call("widgetDeleteSession", {"name": OWN}).status_code == 404

    statuses = [client.ask(text, OWN).status_code for text in ("first", "second")]

    assert statuses == [200, 200]
    assert upstream.sessions["a1b2c3-mine"].queries == ["first", "second"]
    assert other.ask("third", OWN).status_code == 403
    assert client.call("widgetGetSession", {"name": "a1b2c3-mine"}).status_code == 200
    assert client.call("widgetDeleteSession", {"name": OWN}).status_code == 200
    assert client.ask("fourth", OWN).status_code == 404


def test_an_unknown_number_is_no_session_of_ones_own(client: Client) -> None:
    assert client.ask("first", f"{OWN.rpartition('/')[0]}/12345678901234567890").status_code == 404


@pytest.mark.parametrize("status", ["400", "404"])
def test_a_session_of_ones_own_may_be_refused(
    upstream: Simulator, client: Client, status: str
) -> None:
    upstream.set(own_session=status)

    assert client.ask("first", OWN).status_code == int(status)
    assert upstream.sessions == {}


@pytest.mark.parametrize("status", ["400", "403", "404"])
def test_opening_a_session_may_be_refused_where_other_ways_are_open(
    upstream: Simulator, client: Client, status: str
) -> None:
    upstream.set(create_session=status)

    assert client.call("widgetCreateSession", {}).status_code == int(status)
    assert client.ask("first", f"{OWN.rpartition('/')[0]}/-").status_code == 200
    assert client.ask("first", OWN).status_code == 200


# What a test can see and change


def test_a_session_shows_what_it_was_asked_and_whose_it_is(
    upstream: Simulator, client: Client, other: Client
) -> None:
    mine, theirs = client.create_session(), other.create_session()
    upstream.script(*empty_array(), csesidx=client.account.csesidx)
    client.ask("first", mine)
    client.ask("second", mine)
    other.ask("third", theirs)

    [own], [foreign] = upstream.sessions_of(client.account), upstream.sessions_of(other.account)

    assert (own.short_name, own.queries, [turn.query for turn in own.turns]) == (
        mine,
        ["first", "second"],
        ["second"],
    )
    assert (foreign.short_name, foreign.queries, foreign.most_at_once) == (theirs, ["third"], 1)


def test_a_question_that_is_refused_is_not_one_of_the_session_s(
    upstream: Simulator, client: Client
) -> None:
    name = client.create_session()

    client.ask("x", name, temperature=1)

    assert upstream.sessions_of(client.account)[0].queries == []


def test_deleted_sessions_are_shown_when_asked_for(upstream: Simulator, client: Client) -> None:
    client.call("widgetDeleteSession", {"name": client.create_session()})

    assert upstream.sessions_of(client.account) == []
    assert [session.deleted for session in upstream.sessions_of(client.account, alive=False)] == [
        True
    ]


def test_two_questions_at_once_in_one_session_are_seen(upstream: Simulator, client: Client) -> None:
    name = client.create_session()
    upstream.script(HoldHeaders(0.3), *answer("slow"), times=2)
    threads = [threading.Thread(target=client.ask, args=("x", name)) for _ in range(2)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert upstream.sessions_of(client.account)[0].most_at_once == 2


def test_a_session_whose_owner_has_changed_is_forbidden(
    upstream: Simulator, client: Client
) -> None:
    name = client.create_session()
    upstream.sessions_of(client.account)[0].owner = "another"

    assert client.ask("x", name).status_code == 403


def test_a_restricted_account_is_refused_everywhere_and_no_other_is(
    upstream: Simulator, client: Client, other: Client
) -> None:
    name = other.create_session()
    other.account.restricted = True

    statuses = [
        other.getoxsrf().status_code,
        other.ask("x", name).status_code,
        *(
            other.call(verb, {"name": name}).status_code
            for verb in ("widgetCreateSession", "widgetListSessions")
        ),
    ]

    assert statuses == [403] * 4
    assert client.ask("x").status_code == 200
