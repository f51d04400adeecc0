"""What an account carries beside its ids and cookies: edition, location, further cookies, server
token, user agent.
"""

from __future__ import annotations

import json

import pytest

from gbproxy.account_admin.importing import Found, Hosts, find
from gbproxy.account_admin.importing.partial_account import FURTHER_FIELDS
from gbproxy.errors import BadRequest
from tests.support.importing import browsers
from tests.support.importing.captures import core
from tests.support.importing.forms import ANNA, BEN, BUSINESS, CALLS, ENTERPRISE, FORMS, Person

PLACE, JAR, AGENT = ("edition", "location"), ("cookies",), ("user_agent",)
# By the beginning of their names; the longest counts.
TELLS: dict[str, tuple[str, ...]] = {
    "address": PLACE,
    "curl": PLACE + JAR + AGENT,
    "powershell": PLACE + JAR + AGENT,
    "fetch": PLACE + JAR,
    "fetch of firefox": PLACE + JAR + AGENT,
    "all as fetch": PLACE + JAR,
    "headers": PLACE + JAR + AGENT,
    "cookie": JAR,
    "cookie string, second first": (),
    "cookie option": (),
    "cookie lines": (),
    "cookie table": ("edition", *JAR),
    "cookies": ("edition", *JAR),
    "cookies by name": (),
    "cookies of firefox": JAR,
    "cookies beside an address": PLACE + JAR,
    "cookies without domains": PLACE + JAR,
    "one json cookie a line": ("edition", *JAR),
    "storage state": ("edition", *JAR),
    "account": (),
    "environment": (),
    "call": (*PLACE, "server_token", *AGENT),
}


def further(found: Found) -> list[dict[str, str]]:
    return [
        {name: value for name, value in each.values.items() if name in FURTHER_FIELDS}
        for each in found
    ]


@pytest.mark.parametrize("person", [ANNA, BEN], ids=[BUSINESS, ENTERPRISE])
@pytest.mark.parametrize("form", [*FORMS, *CALLS])
def test_each_form_tells_what_is_in_it(form: str, person: Person) -> None:
    told = TELLS[max((beginning for beginning in TELLS if form.startswith(beginning)), key=len)]

    found = find((FORMS | CALLS)[form](person))

    assert further(found) == [
        {name: value for name, value in person.carried.items() if name in told}
    ]
    assert found.warnings == ()


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("person", [ANNA, BEN], ids=[BUSINESS, ENTERPRISE])
def test_a_request_of_the_page_and_a_call_tell_all_of_an_account(person: Person, call: str) -> None:
    for pieces in ((FORMS["curl"], CALLS[call]), (CALLS[call], FORMS["curl"])):
        (account,) = find("\n".join(piece(person) for piece in pieces))

        assert account.values == person.whole | person.carried
        assert account.missing == ()


def test_a_call_without_a_sign_in_is_that_of_its_app() -> None:
    calls = "\n".join(
        browsers.curl(browsers.posix, *person.call(authorization="")) for person in (ANNA, BEN)
    )
    text = "\n".join((FORMS["curl"](BEN), calls, FORMS["curl"](ANNA)))

    assert {each.values["csesidx"]: each.values["server_token"] for each in find(text)} == {
        ANNA.csesidx: ANNA.server_token,
        BEN.csesidx: BEN.server_token,
    }


def test_a_call_of_which_nobody_knows_the_app_is_that_of_the_one_account() -> None:
    url, headers, _ = ANNA.call(authorization="")
    call = browsers.curl(browsers.posix, url, headers)

    assert find(f"{call}\n{FORMS['curl'](ANNA)}")[0].values["server_token"] == ANNA.server_token
    assert not any(
        "server_token" in each.values for each in find("\n".join((call, ANNA.page, BEN.page)))
    )


def test_a_server_token_is_not_kept_for_another_app() -> None:
    elsewhere = ANNA.page.replace(ANNA.config_id, BEN.config_id)

    (account,) = find(f"{CALLS['call as curl'](ANNA)}\n{elsewhere}")

    assert (account.values["config_id"], "server_token" in account.values) == (BEN.config_id, False)


# Cookies


def sent(cookies: str, host: str = BUSINESS) -> str:
    return browsers.curl(browsers.posix, f"https://{host}{ANNA.path}", {"cookie": cookies})


@pytest.mark.parametrize(
    ("cookies", "taken"),
    [
        ("a=1; b=2", "a=1; b=2"),
        ("a=1; a=2", "a=2"),
        ("NID=1; nid=2; a=1", "a=1"),
        ("SID=1; HSID=2; __Secure-1PSID=g.a000x; __Secure-3PAPISID=3; a=1", "a=1"),
        ("a=[redacted]; b=***; c=3", "c=3"),
        ("Path=/; Secure; HttpOnly; SameSite=lax; Max-Age=5; Domain=x; Expires=1; a=1", "a=1"),
        ("a=x,y; b=;c=", "a=x,y"),
        ("a b=1; c=2", "c=2"),
        ("", None),
    ],
)
def test_further_cookies_are_those_of_the_same_jar_but_for_what_does_harm(
    cookies: str, taken: str | None
) -> None:
    (account,) = find(sent(f"{cookies}; __Secure-C_SES={ANNA.first}"))

    assert account.values.get("cookies") == taken


def test_further_cookies_are_bounded() -> None:
    few, large = (
        "; ".join(f"cookie{number}={value}" for number in range(count))
        for count, value in ((300, "x"), (50, "x" * 500))
    )

    counts = [
        len(find(sent(f"__Secure-C_SES=CSE.a; {many}"))[0].values["cookies"])
        for many in (few, large)
    ]

    assert all(500 < count <= 8192 for count in counts)


def test_cookies_of_the_sign_ins_own_host_are_not_the_pages() -> None:
    (account,) = find(sent(f"__Host-STEP=1; {ANNA.string}", f"auth.{BUSINESS}"))

    assert account.values["secure_c_ses"] == ANNA.first
    assert "cookies" not in account.values


def test_an_answer_replaces_adds_and_ends_further_cookies() -> None:
    lines = ["a=new; Path=/", "c=3; Path=/; Secure", "b=; Max-Age=0", "d=gone; Max-Age=0", "e=5; Domain=.google.com", "f=6; Domain=.gemini.google"]  # fmt: skip
    entry = {
        "request": {"url": f"https://{BUSINESS}{ANNA.path}", "headers": [{"name": "cookie", "value": f"a=1; b=2; __Secure-C_SES={ANNA.first}"}]},
        "response": {"headers": [{"name": "set-cookie", "value": "\n".join(lines)}]},
    }  # fmt: skip

    (account,) = find(json.dumps({"log": {"entries": [entry]}}))

    assert account.values["cookies"] == "a=new; c=3; f=6"


def test_further_cookies_go_with_the_first_cookie_that_they_were_found_with() -> None:
    older, newer = sent(f"__Secure-C_SES=CSE.old; {ANNA.others}"), sent("__Secure-C_SES=CSE.new")
    same = sent("__Secure-C_SES=CSE.old; b=2")

    assert "cookies" not in find(f"{older}\n{newer}")[0].values
    assert find(f"{newer}\n{older}")[0].values["cookies"] == ANNA.others
    assert find(f"{older}\n{same}")[0].values["cookies"] == f"{ANNA.others}; b=2"


def test_cookies_of_each_edition_in_one_browser_go_to_the_account_of_that_edition() -> None:
    exported = json.dumps([*ANNA.rows, *BEN.rows])

    for person in (ANNA, BEN):
        (account,) = find(f"{exported}\n{person.page}")

        assert core(account.values) == person.whole


def test_further_rows_that_differ_in_value_are_nobodys() -> None:
    rows = [*ANNA.rows, {"domain": f".{BUSINESS}", "name": "_ga", "value": "another"}]

    assert (
        find(json.dumps([{**row, "storeId": "0"} for row in rows]))[0].values["cookies"]
        == "__Secure-C_AUX=CAX.anna"
    )


def test_lines_that_may_be_anything_are_no_cookies() -> None:
    (account,) = find(f"API_KEYS=sk-secret\n__Secure-C_SES={ANNA.first}\nTOKEN=secret")

    assert account.values == {"secure_c_ses": ANNA.first}


# Server token and user agent


@pytest.mark.parametrize("token", ["[redacted]", "***", "", "a b", "x" * 2000])
def test_a_server_token_that_is_none_is_left_out(token: str) -> None:
    url, headers, body = ANNA.call(**{"x-server-token": token})

    assert "server_token" not in find(browsers.curl(browsers.posix, url, headers, body))[0].values


@pytest.mark.parametrize(
    "agent", ["curl/8.5.0", "python-requests/2.34", "PostmanRuntime/7", "", "Mozilla/5.0 \u00e9"]
)
def test_a_user_agent_that_is_no_browsers_is_left_out(agent: str) -> None:
    assert (
        "user_agent"
        not in find(browsers.curl(browsers.posix, ANNA.page, {"user-agent": agent}))[0].values
    )


def test_what_is_sent_along_to_other_hosts_is_not_looked_into() -> None:
    headers = {"user-agent": ANNA.user_agent, "x-server-token": ANNA.server_token}
    elsewhere = [
        browsers.curl(browsers.posix, url, headers)
        for url in (
            "https://example.com/widgetX",
            "https://fonts.googleapis.com/css",
            f"https://{BUSINESS}/home",
        )
    ]

    (account,) = find("\n".join([*elsewhere[:2], ANNA.page]))
    assert further([account]) == [{"edition": "business", "location": "global"}]  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="nothing of a Gemini Business account"):
        find("\n".join(elsewhere))


# Editions and locations


@pytest.mark.parametrize(
    ("address", "edition", "location"),
    [
        (f"https://{BUSINESS}/home/cid/{{}}?csesidx=1", "business", "global"),
        (f"https://{BUSINESS}/eu/home/cid/{{}}?csesidx=1", "business", "eu"),
        (f"https://{ENTERPRISE}/home/cid/{{}}?csesidx=1", "enterprise", "global"),
        (f"https://{ENTERPRISE}/us/home/cid/{{}}/r/session/5?csesidx=1&hl=de", "enterprise", "us"),
        (f"https://{ENTERPRISE}/EU/home/cid/{{}}?csesidx=1", "enterprise", "eu"),
        (f"https://{ENTERPRISE}/u/0/home/cid/{{}}?csesidx=1", "enterprise", None),
        (f"https://auth.{ENTERPRISE}/x?csesidx=1", "enterprise", None),
    ],
)
def test_the_pages_address_tells_edition_and_location(
    address: str, edition: str, location: str | None
) -> None:
    text = address.format(ANNA.config_id)
    told = {"edition": edition} | ({"location": location} if location else {})

    assert further(find(text)) == further(find("x", text)) == [told]


def test_an_address_in_place_of_a_config_id_tells_it_too() -> None:
    told = {
        "csesidx": BEN.csesidx,
        "config_id": BEN.config_id,
        "edition": "enterprise",
        "location": "eu",
    }

    for text in (
        f"CONFIG_ID={BEN.page}",
        json.dumps({"config_id": BEN.page, "csesidx": BEN.csesidx}),
    ):
        assert [account.values for account in find(text)] == [told]


@pytest.mark.parametrize(
    "host", ["discoveryengine.googleapis.com", "eu-discoveryengine.googleapis.com"]
)
def test_the_edition_of_a_shared_host_is_that_of_its_page(host: str) -> None:
    url, headers, body = BEN.call()
    url = url.replace("content-discoveryengine.googleapis.com", host)

    assert (
        find(browsers.curl(browsers.posix, url, headers, body))[0].values["edition"] == "enterprise"
    )


def test_a_gateways_stand_in_has_no_edition_but_a_location() -> None:
    hosts = Hosts.of("http://127.0.0.1:9000", None)

    (account,) = find(f"http://127.0.0.1:9000/eu/home/cid/{ANNA.config_id}?csesidx=5", hosts=hosts)

    assert further([account]) == [{"location": "eu"}]  # type: ignore[arg-type]


def test_headers_without_a_host_are_not_taken_for_the_business_editions() -> None:
    cookie = f"cookie: {BEN.string}\nuser-agent: {BEN.user_agent}"

    found = find(f"{cookie}\n\n{BEN.page}")

    assert found.warnings == ()
    assert found[0].values["edition"] == "enterprise"


@pytest.mark.parametrize("form", ["call as curl", "call as har"])
@pytest.mark.parametrize("first", ["page", "call"])
def test_a_page_and_a_host_that_disagree_are_told(form: str, first: str) -> None:
    other = Person(ANNA.csesidx, ANNA.config_id, "anna", ENTERPRISE, "eu")
    pieces = [ANNA.page, CALLS[form](other)]

    found = find("\n".join(pieces if first == "page" else pieces[::-1]))

    kept = other if first == "page" else ANNA
    assert (found[0].values["edition"], found[0].values["location"]) == tuple(
        kept.carried[name] for name in PLACE
    )
    assert [warning.partition(",")[0] for warning in found.warnings] == [
        f"csesidx {ANNA.csesidx}: the text names more than one edition",
        f"csesidx {ANNA.csesidx}: the text names more than one location",
    ]


@pytest.mark.parametrize(
    "form", ["cookies.txt", "cookies as json", "cookies of an address", "cookie table"]
)
def test_cookies_of_another_editions_page_are_not_taken_and_told(form: str) -> None:
    for beside in (ANNA.page, browsers.curl(browsers.posix, *ANNA.call(authorization=""))):
        found = find(f"{FORMS[form](BEN)}\n{beside}")

        assert "secure_c_ses" not in found[0].values
        assert ["are of another edition's page" in warning for warning in found.warnings] == [True]


def test_a_call_whose_page_is_another_editions_is_told() -> None:
    url, headers, body = ANNA.call(referer=BEN.page.replace(BEN.csesidx, ANNA.csesidx))

    assert (
        "more than one edition"
        in find(browsers.curl(browsers.posix, url, headers, body)).warnings[0]
    )


# Accounts that were written down


def test_an_account_in_json_has_all_by_its_fields_names() -> None:
    (account,) = find(json.dumps({"name": "ben", **BEN.whole, **BEN.carried}))

    assert account.values == BEN.whole | BEN.carried


def test_what_cannot_be_is_told_by_its_field_and_not_shown() -> None:
    found = find(
        json.dumps(
            {**BEN.whole, "edition": "secret", "location": "secret-2", "server_token": "a secret"}
        )
    )

    assert found[0].wrong.keys() == {"edition", "location", "server_token"}
    assert "secret" not in repr((found, found[0].wrong, found.warnings))


def test_what_speaks_against_an_address_is_not_shown_either() -> None:
    found = find(f"{json.dumps({**BEN.whole, 'edition': 'secret'})}\n{BEN.page}")

    assert (found[0].values["edition"], found.warnings) == ("enterprise", ())
