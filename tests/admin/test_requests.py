"""The request log over the admin API."""

from __future__ import annotations

from gbproxy.request_log.recorder import NOT_LOGGED
from tests.admin.conftest import AdminHarness, Opened
from tests.support.serving import KEY


def ask(admin_api: AdminHarness, *ids: str) -> None:
    for each in ids:
        admin_api.call("GET", "/v1/models", key=KEY, x_request_id=each)
    admin_api.services.request_log.flush()


def test_requests_are_listed_by_cursor(admin_api: AdminHarness) -> None:
    ask(admin_api, "one", "two", "three")

    first = admin_api.call("GET", "/api/admin/requests?limit=2").json()
    ask(admin_api, "four")
    second = admin_api.call("GET", f"/api/admin/requests?limit=2&before={first['next']}").json()

    assert [each["request_id"] for each in first["requests"]] == ["three", "two"]
    assert [each["request_id"] for each in second["requests"]] == ["one"]
    assert (second["next"], second["kept_days"]) == (None, 7.0)
    one = second["requests"][0]
    assert isinstance(one["ended_at"], int)
    assert (one["surface"], one["status"], one["code"]) == ("openai_models", 200, None)
    assert (one["model"], one["account"], one["ttft_ms"], one["is_streamed"]) == (
        None,
        None,
        None,
        False,
    )


def test_requests_are_searched_like_in_the_console(admin_api: AdminHarness) -> None:
    ask(admin_api, "one", "two")
    admin_api.call("GET", "/v1/models", key="sk-wrong", x_request_id="three")
    admin_api.services.request_log.flush()

    for search, found in (
        ("request_id=two", ["two"]),
        ("status=401", ["three"]),
        ("code=invalid_api_key", ["three"]),
        ("status=200&request_id=three", []),
    ):
        answer = admin_api.call("GET", f"/api/admin/requests?{search}").json()
        assert [each["request_id"] for each in answer["requests"]] == found


def test_a_wrong_search_is_refused(admin_api: AdminHarness) -> None:
    for search, param in (
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("before=-1", "before"),
        ("before=" + "9" * 30, "before"),
        ("status=ok", "status"),
    ):
        answer = admin_api.call("GET", f"/api/admin/requests?{search}")
        assert (answer.status, answer.json()["error"]["param"]) == (400, param)


def test_without_a_log_there_are_none(opened: Opened) -> None:
    admin_api = opened(REQUEST_LOG_DAYS="0")
    ask(admin_api, "one")

    answer = admin_api.call("GET", "/api/admin/requests").json()

    assert answer == {"requests": [], "next": None, "kept_days": 0}


def test_a_clients_key_sees_no_requests(admin_api: AdminHarness) -> None:
    assert admin_api.call("GET", "/api/admin/requests", key=KEY).status == 401


def test_all_that_is_not_logged_is_there_and_no_administration_is(admin_api: AdminHarness) -> None:
    surfaces = set(admin_api.app.app.blueprints)
    administration = {name for name in surfaces if name.startswith("admin")}

    assert surfaces >= NOT_LOGGED >= administration
