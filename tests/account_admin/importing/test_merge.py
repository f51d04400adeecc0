"""Which values belong to which account, and what is said of those that are not there."""

from __future__ import annotations

import json

import pytest

from gbproxy.account_admin.importing import MAX_CHARS, OPTIONAL, WHERE, FoundAccount, Hosts, find
from gbproxy.errors import BadRequest, RequestTooLarge
from tests.support.importing import browsers, captures
from tests.support.importing.captures import COOKIES, FOREIGN, IDS, PAGE, WHOLE, core

HOME = "https://business.gemini.google/home/cid"
FIRST = {"csesidx": "111", "config_id": "a0000000-0000-4000-8000-000000000001"}
SECOND = {"csesidx": "222", "config_id": "b0000000-0000-4000-8000-000000000002"}
THIRD_ID = "c0000000-0000-4000-8000-000000000003"
JAR = "Cookie: __Secure-C_SES=CSE.one; __Host-C_OSES=COS.one"


def address(ids: dict[str, str]) -> str:
    return f"{HOME}/{ids['config_id']}?csesidx={ids['csesidx']}"


def values(text: str, url: str | None = None) -> list[dict[str, str]]:
    return [core(account.values) for account in find(text, url)]


def test_two_sign_ins_are_two_accounts() -> None:
    text = json.dumps(
        [{"csesidx": 111, "secure_c_ses": "CSE.a"}, {"csesidx": "222", "secure_c_ses": "CSE.b"}]
    )

    assert values(f"{text}\n{address(FIRST)}\n{address(SECOND)}") == [
        {"secure_c_ses": "CSE.a", **FIRST},
        {"secure_c_ses": "CSE.b", **SECOND},
    ]


def test_cookies_of_one_browser_serve_all_its_sign_ins() -> None:
    cookies = {"secure_c_ses": "CSE.one", "host_c_oses": "COS.one"}

    assert values(f"{address(FIRST)}\n{JAR}\n{address(SECOND)}") == [
        {**cookies, **FIRST},
        {**cookies, **SECOND},
    ]


def test_cookies_of_two_browsers_are_not_guessed_apart() -> None:
    text = f"{address(FIRST)}\n{JAR}\n{address(SECOND)}\n{JAR.replace('one', 'two')}"

    assert values(text) == [FIRST, SECOND]


def test_accounts_that_lack_their_csesidx_stay_apart() -> None:
    text = json.dumps(
        {
            "accounts": [
                {"name": "a", "secure_c_ses": "CSE.a"},
                {"name": "b", "secure_c_ses": "CSE.b"},
            ]
        }
    )

    found = find(f"{text}\n{address(FIRST)}")

    assert [(account.name, core(account.values)) for account in found] == [
        (None, FIRST),
        ("a", {"secure_c_ses": "CSE.a"}),
        ("b", {"secure_c_ses": "CSE.b"}),
    ]


def test_the_latest_widget_of_a_sign_in_counts() -> None:
    here, there = FIRST, {**FIRST, "config_id": THIRD_ID}

    assert values(
        f"{browsers.curl(browsers.posix, address(here), {'cookie': JAR[8:]})}\n{address(there)}"
    ) == [
        {"secure_c_ses": "CSE.one", "host_c_oses": "COS.one", **there},
    ]


def test_accounts_written_down_with_one_csesidx_stay_apart_by_their_config_ids() -> None:
    accounts = [
        {**FIRST, "secure_c_ses": "CSE.a"},
        {**FIRST, "config_id": THIRD_ID, "secure_c_ses": "CSE.b"},
    ]

    assert values(json.dumps(accounts)) == accounts


def test_the_later_piece_wins() -> None:
    (found,) = values(f"{JAR}\n{PAGE}\n{JAR.replace('one', 'two')}")

    assert found == {"secure_c_ses": "CSE.two", "host_c_oses": "COS.two", **IDS}


def test_the_address_may_be_given_apart() -> None:
    assert values(JAR, PAGE) == [{"secure_c_ses": "CSE.one", "host_c_oses": "COS.one", **IDS}]


def test_an_address_of_something_else_is_refused_by_its_name() -> None:
    with pytest.raises(BadRequest, match="must be the page's address") as caught:
        find(JAR, "https://gemini.google.com/app")

    assert caught.value.param == "url"


def test_what_is_missing_has_a_place_where_it_is_found() -> None:
    (account,) = find(captures.text("address.txt"))

    assert account.missing == ("secure_c_ses", "host_c_oses")
    assert "__Secure-C_SES" in WHERE["secure_c_ses"]
    assert WHERE.keys() == WHOLE.keys()
    assert not account.is_complete


def test_the_second_cookie_may_be_missing() -> None:
    (account,) = find(f"__Secure-C_SES={COOKIES['secure_c_ses']}\n{PAGE}")

    assert account.is_complete
    assert set(account.missing) == OPTIONAL


def test_a_value_that_cannot_be_is_told_by_its_field_and_not_shown() -> None:
    given = {
        "name": "a\nb",
        "secure_c_ses": "CSE.a; secret=1",
        "csesidx": "secret-2",
        "team_id": "x y secret",
    }

    (account,) = find(json.dumps(given))

    assert account.wrong.keys() == {"name", "secure_c_ses", "csesidx", "config_id"}
    assert account.values == {}
    assert account.missing == ("host_c_oses",)
    assert "secret" not in repr(account)


def test_a_pasted_cookie_loses_its_name() -> None:
    (account,) = find(json.dumps({"secure_c_ses": '"__Secure-C_SES=CSE.a";'}))

    assert account.values == {"secure_c_ses": "CSE.a"}


@pytest.mark.parametrize("value", ["[__Secure-C_SES redacted]", "REDACTED", "***", "", "a b"])
def test_what_stands_for_a_cookie_in_a_cleaned_capture_is_none(value: str) -> None:
    assert values(browsers.curl(browsers.posix, PAGE, {"cookie": f"__Secure-C_SES={value}"})) == [
        IDS
    ]


@pytest.mark.parametrize(
    "url",
    [
        "https://business.gemini.google.evil.example/",
        "https://business.gemini.google@evil.example/home/cid/x?csesidx=1",
        "https://evilbusiness.gemini.google/",
        "https://evil.example/https://business.gemini.google/home/cid/x?csesidx=1",
        "https://gemini.google.com/",
        "ftp://business.gemini.google/",
    ],
)
def test_requests_to_other_hosts_are_not_looked_into(url: str) -> None:
    headers = {
        "cookie": f"__Secure-C_SES={FOREIGN}",
        "referer": PAGE,
        "authorization": "Bearer a.b.c",
    }

    with pytest.raises(BadRequest, match="nothing of a Gemini Business account"):
        find(browsers.curl(browsers.posix, url, headers, '{"configId":"x"}'))


def test_cookies_are_not_taken_from_calls_of_the_api() -> None:
    url = "https://biz-discoveryengine.googleapis.com/v1alpha/locations/global/widgetStreamAssist"

    assert values(
        browsers.curl(browsers.posix, url, {"cookie": JAR[8:]}, f'{{"configId":"{THIRD_ID}"}}')
    ) == [{"config_id": THIRD_ID}]


def test_another_site_can_be_named() -> None:
    hosts = Hosts.of("http://127.0.0.1:9000", "http://127.0.0.1:9000/v1alpha")

    (account,) = find(f"http://127.0.0.1:9000/home/cid/{THIRD_ID}?csesidx=5", hosts=hosts)

    assert core(account.values) == {"csesidx": "5", "config_id": THIRD_ID}


def test_cookies_set_by_an_answer_are_newer_than_those_of_its_request() -> None:
    har = json.loads(captures.text("chrome.har"))
    set_cookie = "__Secure-C_SES=CSE.new; Path=/; Secure\n__Host-C_OSES=COS.new; Path=/\n_ga=x"
    har["log"]["entries"][1]["response"]["headers"].append(
        {"name": "set-cookie", "value": set_cookie}
    )

    (account,) = find(json.dumps(har))

    assert core(account.values) == {**IDS, "secure_c_ses": "CSE.new", "host_c_oses": "COS.new"}


def test_a_har_file_that_was_cut_is_read_as_far_as_it_goes() -> None:
    text = captures.text("chrome.har")

    (account,) = find(text[: text.rindex('"_connectionId"')])

    assert core(account.values) == WHOLE


@pytest.mark.parametrize(
    "shape", ["[{}]", "[{},", '{{"accounts": [{}]}}', '{{"accounts":\n[{}', "x\n{}\ny"]
)
def test_accounts_stand_alone_or_in_lists_also_cut_ones(shape: str) -> None:
    assert values(
        shape.replace("{}", captures.text("account.json"), 1).replace("{{", "{").replace("}}", "}")
    ) == [WHOLE]


def test_nothing_found_says_what_to_paste() -> None:
    with pytest.raises(BadRequest, match="paste an account as JSON") as caught:
        find(f"hello {FOREIGN}")

    assert caught.value.param == "text"
    assert FOREIGN not in caught.value.message


def test_a_text_beyond_the_cap_is_too_large() -> None:
    with pytest.raises(RequestTooLarge):
        find(" " * (MAX_CHARS + 1))


def test_what_is_found_says_whether_it_is_whole() -> None:
    assert FoundAccount(None, {}, ("host_c_oses",), {}).is_complete
    assert not FoundAccount(None, {}, (), {"csesidx": "must be decimal digits"}).is_complete


@pytest.mark.parametrize(
    "cut",
    [
        f"curl '{PAGE}' -b '_ga=1; __Secure-C_SES=CSE.cu",
        f"curl '{PAGE}' \\\n -H 'cookie: __Host-C_OSES=COS.x; __Secure-C_SES=CSE.cu",
        f'fetch("{PAGE}", {{"headers": {{"cookie": "__Secure-C_SES=CSE.cu',
    ],
)
def test_a_cookie_that_was_cut_off_is_none_and_what_follows_is_read(cut: str) -> None:
    other = {**SECOND, "secure_c_ses": "CSE.b"}

    found = find(f"{cut}\n{json.dumps(other)}")

    assert "secure_c_ses" not in find(cut)[0].values
    assert other in [account.values for account in found]
    assert all("CSE.cu" not in account.values.values() for account in found)
    assert found.warnings


def test_a_word_for_a_command_in_a_sentence_swallows_nothing() -> None:
    assert values(
        f"I don't know curl, and curl doesn't know me: here's the rest\n{JAR}\n{PAGE}"
    ) == [{"secure_c_ses": "CSE.one", "host_c_oses": "COS.one", **IDS}]


def test_headers_of_another_host_are_not_looked_into() -> None:
    text = f":authority\nevil.example\n:path\n/\ncookie\n__Secure-C_SES={FOREIGN}"

    assert values(f"{text}\n\n{PAGE}") == [IDS]


def test_two_jars_of_which_nobody_knows_the_sign_in_are_told() -> None:
    found = find(f"{JAR}\n{JAR.replace('one', 'two')}")

    assert [account.values["secure_c_ses"] for account in found] == ["CSE.two"]
    assert ["nobody can say whose they are" in warning for warning in found.warnings] == [True]


def test_cookies_of_two_of_a_browsers_stores_are_not_mixed() -> None:
    rows = [
        {
            "name": "__Secure-C_SES",
            "value": "CSE.a",
            "domain": ".business.gemini.google",
            "storeId": "0",
        },
        {
            "name": "__Host-C_OSES",
            "value": "COS.b",
            "domain": "business.gemini.google",
            "storeId": "1",
        },
    ]

    assert values(f"{json.dumps(rows)}\n{PAGE}") == [{"secure_c_ses": "CSE.a", **IDS}]


def test_a_text_that_was_read_in_the_wrong_encoding_is_named_as_such() -> None:
    with pytest.raises(BadRequest, match="UTF-16"):
        find("".join(f"{sign}\0" for sign in JAR))
