"""Every form that people paste, wherever it stands among others, and never one account's cookie
with another's.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gbproxy.account_admin.importing import find
from gbproxy.errors import BadRequest
from tests.support.importing import browsers
from tests.support.importing.captures import FOREIGN, core
from tests.support.importing.forms import ANNA, BEN, CALLS, FORMS, Person

FIELDS = (*ANNA.whole, *ANNA.carried)
JAR = ("secure_c_ses", "host_c_oses", "cookies")
APP = ("server_token", "config_id", "edition", "location")
PLACES = {"first": 0, "middle": 2, "last": 4}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_in_each_place_of_a_mixed_paste(
    form: str, place: str, line_end: str
) -> None:
    pieces = [FORMS["curl"](BEN), ANNA.page, FORMS["account"](BEN), "and the rest, please:"]
    pieces.insert(PLACES[place], FORMS[form](ANNA))

    found = find("\n".join(pieces).replace("\n", line_end))

    told = {account.values["csesidx"]: core(account.values) for account in found}
    first = {} if form == "address" else ANNA.whole
    assert told == {
        ANNA.csesidx: {"csesidx": ANNA.csesidx, "config_id": ANNA.config_id, **first},
        BEN.csesidx: BEN.whole,
    }
    assert len(found) == 2
    assert found.warnings == ()
    assert FOREIGN not in repr(told)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_alone(form: str, line_end: str) -> None:
    (account,) = find(FORMS[form](ANNA).replace("\n", line_end))

    assert account.values.items() <= (ANNA.whole | ANNA.carried).items()
    assert ("secure_c_ses" in account.values) == (form != "address")
    assert account.wrong == {}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("joint", ["\n", "\n\n", " ;\n"])
def test_two_accounts_in_one_form_stay_two(form: str, joint: str) -> None:
    found = find(joint.join(FORMS[form](person) for person in (ANNA, BEN)))

    for account in found:
        assert _identities(account.values) in ({"anna"}, {"ben"}), account.values


def _identities(values: dict[str, str], names: Iterable[str] = FIELDS) -> set[str]:
    """Whose the values of these fields are."""
    people = {person.mark: (person.whole | person.carried).items() for person in (ANNA, BEN)}
    told = [(name, values[name]) for name in names if name in values]
    return {next((mark for mark, own in people.items() if pair in own), "nobody") for pair in told}


PEOPLE = st.sampled_from([ANNA, BEN])
LACKING = {
    "first cookie only": lambda person: f"Cookie: __Secure-C_SES={person.first}",
    "second cookie only": lambda person: f"Cookie: __Host-C_OSES={person.second}",
    "first row only": lambda person: f"__Secure-C_SES={person.first}",
    "account with the first only": lambda person: (
        f'{{"secure_c_ses": "{person.first}", "csesidx": {person.csesidx}, "config_id": "{person.config_id}"}}'
    ),
    "account with the second only": lambda person: (
        f'{{"host_c_oses": "{person.second}", "csesidx": "{person.csesidx}", "config_id": "{person.config_id}"}}'
    ),
    "nameless account": lambda person: f'{{"secure_c_ses": "{person.first}"}}',
    "request with the first only": lambda person: (
        f"curl 'https://{person.host}{person.path}' -H 'cookie: __Secure-C_SES={person.first}'"
    ),
    "call without its bearer": lambda person: browsers.curl(browsers.posix, *person.call(authorization="")),
    "further cookies only": lambda person: f"Cookie: {person.others}",
    "answer that sets both": lambda person: (
        f"set-cookie: __Host-C_OSES={person.second}; path=/; secure\nset-cookie: __Secure-C_SES={person.first}; path=/"
    ),
}  # fmt: skip
ALL = FORMS | CALLS | LACKING
FIRM = (
    "curl",
    "fetch",
    "account",
    "powershell",
    "headers",
    "cookies beside",
    "request",
    "environment",
)


@example([(ANNA, "request with the first only"), (BEN, "call without its bearer")], "\n")
@given(
    st.lists(st.tuples(PEOPLE, st.sampled_from(sorted(ALL))), min_size=1, max_size=7),
    st.sampled_from(["\n", "\n\n"]),
)
def test_never_is_one_accounts_cookie_put_to_anothers(
    pieces: list[tuple[Person, str]], joint: str
) -> None:
    try:
        found = find(joint.join(ALL[form](person) for person, form in pieces))
    except BadRequest:
        return

    for account in found:
        assert len(_identities(account.values, JAR)) <= 1, account.values
        assert len(_identities(account.values, APP)) <= 1 or "server_token" not in account.values, (
            account.values
        )
        told = {
            person.mark for person, form in pieces if form.startswith(FIRM) and "second" not in form
        }
        # each has cookies of its own beside its ids
        if told == {"anna", "ben"} and "csesidx" in account.values:
            assert len(_identities(account.values)) == 1, account.values


@given(
    st.permutations(
        [
            (ANNA, "curl"),
            (BEN, "curl"),
            (ANNA, "cookies.txt"),
            (BEN, "headers"),
            (BEN, "fetch for node.js"),
        ]
    )
)
def test_whatever_the_order_each_account_has_its_own_values(
    pieces: list[tuple[Person, str]],
) -> None:
    found = find("\n".join(FORMS[form](person) for person, form in pieces))

    assert sorted(account.values["csesidx"] for account in found) == [ANNA.csesidx, BEN.csesidx]
    assert all(core(account.values) in (ANNA.whole, BEN.whole) for account in found)
    assert all(len(_identities(account.values)) == 1 for account in found)


def test_every_pair_of_forms_of_two_accounts_keeps_their_cookies_apart() -> None:
    names = sorted(ALL)
    for one, other in [*pairwise(names), *pairwise(names[::2]), *pairwise(names[::-3])]:
        for account in find(f"{ALL[one](ANNA)}\n{ALL[other](BEN)}\n{ANNA.page}"):
            assert len(_identities(account.values, JAR)) <= 1, (one, other)
