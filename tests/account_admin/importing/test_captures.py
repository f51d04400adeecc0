"""What people paste: each browser's copies in each quoting, files and exports."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.account_admin.importing import find
from tests.support.importing import browsers, captures
from tests.support.importing.captures import COOKIES, FOREIGN, IDS, PAGE, WHOLE, core


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", captures.NAMES)
def test_each_capture_tells_of_one_account(name: str, line_end: str) -> None:
    text = (
        "".join(captures.text(name).splitlines(keepends=True))
        .replace("\r\n", "\n")
        .replace("\n", line_end)
    )

    (account,) = find(text)

    assert core(account.values) == captures.told_by(name)
    assert set(account.missing) == WHOLE.keys() - captures.told_by(name).keys()
    assert account.wrong == {}


@pytest.mark.parametrize("name", captures.NAMES)
def test_cookies_of_other_sites_are_nowhere_in_what_was_found(name: str) -> None:
    assert FOREIGN not in repr([(account, account.values) for account in find(captures.text(name))])


@pytest.mark.parametrize("name", captures.NAMES)
def test_no_cookie_is_shown_by_repr(name: str) -> None:
    assert all(cookie not in repr(find(captures.text(name))) for cookie in COOKIES.values())


@pytest.mark.parametrize(
    "cookies", [name for name in captures.NAMES if captures.told_by(name) == COOKIES]
)
@pytest.mark.parametrize("ids", [name for name in captures.NAMES if captures.told_by(name) == IDS])
def test_two_pastes_that_each_lack_something_combine_in_either_order(
    cookies: str, ids: str
) -> None:
    (one,), (other,) = (
        find("\n".join(map(captures.text, pair))) for pair in ((cookies, ids), (ids, cookies))
    )

    assert one == other
    assert core(one.values) == WHOLE
    assert one.is_complete


def test_everything_at_once_is_still_one_account() -> None:
    (account,) = find("\n\n".join(map(captures.text, captures.NAMES)))

    assert core(account.values) == WHOLE
    assert account.name == "team@example.com"


QUOTES = {
    "chrome": (browsers.posix, " \\\n  ", "curl"),
    "firefox": (browsers.posix_firefox, " \\\n  ", "curl"),
    "chrome-cmd": (browsers.windows, " ^\n  ", "curl"),
    "chrome-cmd-older": (browsers.windows_older, " ^\n  ", "curl"),
    "chrome-cmd-oldest": (browsers.windows_oldest, " ", "curl"),
    "firefox-cmd": (browsers.windows_firefox, " ^\n  ", "curl.exe"),
}
HEADER_TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xFFFF, exclude_categories=("Cs", "Zl", "Zp"))
)
COOKIE_VALUE = st.text("!#$%&()*+-./0123456789:<=>?@ABCxyz[]^_`{|}~", min_size=1)


@pytest.mark.parametrize("browser", QUOTES)
@given(header=HEADER_TEXT, value=COOKIE_VALUE)
def test_whatever_else_a_curl_command_holds_its_cookies_and_ids_are_read(
    browser: str, header: str, value: str
) -> None:
    quote, joint, program = QUOTES[browser]
    # A caret that no other protects cannot be told from one that does.
    value = value.replace("^", "-") if browser == "chrome-cmd-oldest" else value
    told = {**COOKIES, "host_c_oses": value}
    # Firefox writes a backslash for cmd as it stands, and a quote after one as no program reads it
    # back.
    header = header.replace("\\", "/") if browser == "firefox-cmd" else header
    headers = {
        "accept": header,
        "cookie": f"__Secure-C_SES={told['secure_c_ses']}; __Host-C_OSES={value}",
        "x": "y",
    }

    (account,) = find(browsers.curl(quote, PAGE, headers, joint=joint, program=program))

    if "***" not in value:  # as cleaned captures have it
        assert core(account.values) == {**told, **IDS}


@pytest.mark.parametrize("browser", QUOTES)
@given(message=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=("Cs",))))
def test_whatever_a_call_says_its_config_id_is_read(browser: str, message: str) -> None:
    quote, joint, program = QUOTES[browser]
    body = json.dumps({"configId": IDS["config_id"], "query": message}, ensure_ascii=False)
    url = "https://biz-discoveryengine.googleapis.com/v1alpha/locations/global/widgetStreamAssist"

    (account,) = find(
        browsers.curl(quote, url, {"accept": "*/*"}, body, joint=joint, program=program)
    )

    assert core(account.values) == {"config_id": IDS["config_id"]}


@given(
    header=HEADER_TEXT,
    value=COOKIE_VALUE,
    message=st.text(st.characters(exclude_categories=("Cs",))),
)
def test_whatever_else_a_powershell_command_holds_its_cookies_and_ids_are_read(
    header: str, value: str, message: str
) -> None:
    cookies = {
        "NID": (f"{value}{FOREIGN}", ".google.com"),
        "__Secure-C_SES": (COOKIES["secure_c_ses"], "business.gemini.google"),
        "__Host-C_OSES": (value, "business.gemini.google"),
    }

    (account,) = find(browsers.invoke(PAGE, {"accept": header, "x": "y"}, cookies, message))

    if "***" not in value:
        assert core(account.values) == {**COOKIES, "host_c_oses": value, **IDS}
