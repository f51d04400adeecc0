"""Cookies of the consumer Gemini app: told by their names as those of another service, and never
taken.
"""

from __future__ import annotations

import json

import pytest

from gbproxy.account_admin.importing import find
from gbproxy.errors import BadRequest
from gbproxy.settings.account_values import cookie
from tests.support.importing import browsers
from tests.support.importing.forms import ANNA, FORMS

VALUES = {
    "__Secure-1PSID": "g.a000-consumerPsid_do_not_read",
    "__Secure-1PSIDTS": "sidts-do_not_read",
    "SID": "g.a000-consumerSid_do_not_read",
    "SAPISID": "consumerApisid/do_not_read",
}
STRING = "; ".join(f"{name}={value}" for name, value in VALUES.items())
ROWS = [{"domain": ".google.com", "name": name, "value": value} for name, value in VALUES.items()]
APP = "https://gemini.google.com/app"
COOKIES = {
    "header": f"Cookie: {STRING}",
    "string": STRING,
    "string between quotes": f"'{STRING}'",
    "option": f"-b '{STRING}' \\",
    "lines": STRING.replace("; ", "\n"),
    "lines by colon": "\n".join(f"{name}: {value}" for name, value in VALUES.items()),
    "one line": f"__Secure-1PSID={VALUES['__Secure-1PSID']}",
    "the first alone in words": f"my cookie is __Secure-1PSID={VALUES['__Secure-1PSID']}, see?",
    "environment": f"SECURE_1PSID={VALUES['__Secure-1PSID']}\nSECURE_1PSIDTS={VALUES['__Secure-1PSIDTS']}",
    "SID alone": f"SID={VALUES['SID']}",
    "table": "\n".join(f"{name}\t{value}\t.google.com\t/\t2027-01-01" for name, value in VALUES.items()),
    "cookies.txt": "\n".join(f".google.com\tTRUE\t/\tTRUE\t1789459200\t{name}\t{value}" for name, value in VALUES.items()),
    "exported": json.dumps(ROWS, indent=1),
    "beside other cookies": json.dumps([*ROWS, {"domain": ".google.com", "name": "NID", "value": "1"}]),
    "one object a line": "\n".join(map(json.dumps, ROWS)),
    "by name": json.dumps(VALUES),
    "by another program's names": json.dumps({"secure_1psid": VALUES["__Secure-1PSID"], "secure_1psidts": "x"}),
    "under a name": json.dumps({"cookies": VALUES}),
    "string in json": json.dumps({"cookies": STRING}),
    "to our own page": browsers.curl(browsers.posix, f"https://business.gemini.google{ANNA.path}", {"cookie": STRING}),
}  # fmt: skip
REQUESTS = {
    "curl": browsers.curl(browsers.posix, APP, {"cookie": STRING}),
    "fetch": f'fetch("{APP}", {json.dumps({"headers": {"cookie": STRING}})});',
    "powershell": browsers.invoke(
        APP, {}, {name: (value, ".google.com") for name, value in VALUES.items()}
    ),
    "har": json.dumps({"log": {"entries": [{"request": {"url": APP, "headers": []}}]}}),
    "headers": f":authority: gemini.google.com\n:path: /app\ncookie: {STRING}",
    "address": APP,
}


@pytest.mark.parametrize(
    "form", [name for name in COOKIES if name != "to our own page"] + list(REQUESTS)
)
def test_where_nothing_else_is_the_error_names_the_service_and_where_to_go(form: str) -> None:
    with pytest.raises(
        BadRequest, match=r"another service: open https://business\.gemini\.google"
    ) as caught:
        find((COOKIES | REQUESTS)[form])

    assert "consumer Gemini app (gemini.google.com)" in caught.value.message
    assert "do_not_read" not in caught.value.message


@pytest.mark.parametrize("form", COOKIES)
@pytest.mark.parametrize("beside", ["address", "account"])
def test_beside_other_things_a_warning_names_the_service_once(form: str, beside: str) -> None:
    for pieces in ((COOKIES[form], FORMS[beside](ANNA)), (FORMS[beside](ANNA), COOKIES[form])):
        found = find("\n\n-\n".join(pieces))

        assert [account.values["csesidx"] for account in found] == [ANNA.csesidx]
        assert ["consumer Gemini app" in warning for warning in found.warnings] == [True]
        assert "do_not_read" not in repr([(account.values, found.warnings) for account in found])


@pytest.mark.parametrize("form", REQUESTS)
def test_a_request_of_that_app_is_told_where_an_account_lacks_its_cookies(form: str) -> None:
    lacking, whole = (
        find(f"{REQUESTS[form]}\n\n{FORMS[form_](ANNA)}") for form_ in ("address", "curl")
    )

    assert ["consumer Gemini app" in warning for warning in lacking.warnings] == [True]
    assert whole.warnings == ()


@pytest.mark.parametrize("form", ["exported", "cookies.txt", "table", "lines", "string"])
def test_a_browsers_cookies_of_both_services_are_told_nothing_of(form: str) -> None:
    own = {"exported": "cookies as json", "cookies.txt": "cookies.txt", "table": "cookie table", "lines": "cookie lines", "string": "cookie string"}[form]  # fmt: skip
    joint = {"exported": "", "string": "; "}.get(form, "\n")
    text = f"{COOKIES[form]}{joint}{FORMS[own](ANNA)}".replace("\n][\n", ",")

    found = find(f"{text}\n{ANNA.page}")

    assert (found[0].values["secure_c_ses"], found.warnings) == (ANNA.first, ())
    assert "do_not_read" not in repr(found[0].values)


@pytest.mark.parametrize(
    "text", ["SID=abc123", "connect.sid=s%3Aabc", "HSIDE=1", "a line about SID: nothing", "sid\tx"]
)
def test_other_sites_cookies_are_not_taken_for_it(text: str) -> None:
    assert find(f"{text}\n{ANNA.page}").warnings == ()


@pytest.mark.parametrize(
    "value",
    [
        "__Secure-1PSID=g.a000xyz_secret", "__Secure-1PSIDTS=secret", "g.a000xyz_secret", "SAPISID=secret", "SID=g.a000-secret",
        "__Secure-1PSID: g.a000secret", "__Secure-1PSID=g.a000xyz_secret; SID=secret",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["__Secure-C_SES", "__Host-C_OSES"])
@pytest.mark.parametrize("prefix", ["", "{}="])
def test_a_setting_with_such_a_cookie_names_the_service(value: str, name: str, prefix: str) -> None:
    with pytest.raises(ValueError, match="consumer Gemini app") as caught:
        cookie(prefix.format(name) + value, name)

    assert "secret" not in str(caught.value)
