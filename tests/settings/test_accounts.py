"""The accounts of single variables and of ACCOUNTS."""

from __future__ import annotations

import json

import pytest

from gbproxy.settings import load
from gbproxy.settings.account_values import read_page_address
from gbproxy.upstreams.widget.credential import EDITIONS
from tests.support.environments import ACCOUNT, IDS, entry, problem_of, problems_of

PAGE = f"https://business.gemini.google/home/cid/{IDS[1]}?csesidx=17&mods"


def accounts(*entries: object) -> dict[str, str]:
    return {"ACCOUNTS": json.dumps(entries)}


def test_an_account_of_several_may_say_where_it_lives_and_what_its_browser_sends() -> None:
    further = {
        "edition": "enterprise",
        "location": "eu",
        "cookies": "__Secure-C_AUX=a; B=c",
        "server_token": "CAMSx==",
        "user_agent": "Mozilla/5.0 (X)",
    }

    plain, rich = load(accounts(entry(), entry(name="rich", csesidx="5", **further))).accounts

    assert (plain.edition, plain.location, plain.cookies, plain.server_token, plain.user_agent) == (
        "business",
        "global",
        None,
        None,
        None,
    )
    assert (rich.edition, rich.location, rich.user_agent) == ("enterprise", "eu", "Mozilla/5.0 (X)")
    assert rich.cookies is not None
    assert rich.server_token is not None
    assert [rich.cookies.get_secret_value(), rich.server_token.get_secret_value()] == [
        "__Secure-C_AUX=a; B=c",
        "CAMSx==",
    ]
    assert "CAMSx" not in repr(rich)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("edition", "starter"),
        ("edition", 5),
        ("location", "mars"),
        ("cookies", "hunter2"),
        ("cookies", "a=hunter2\nb=c"),
        ("server_token", "hunter2 hunter2"),
        ("user_agent", "hunter2\x7f"),
        ("user_agent", ["hunter2"]),
    ],
)
def test_what_an_account_cannot_have_is_named_and_not_shown(name: str, value: object) -> None:
    problem = problem_of(accounts(entry(), entry(name="other", csesidx="5", **{name: value})))

    assert problem.startswith(f"ACCOUNTS[1].{name}: ")
    assert "hunter2" not in problem


_ID = "11111111-2222-4333-8444-555555555555"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (f"https://business.gemini.google/home/cid/{_ID}?csesidx=7", ("business", "global", "7")),
        (
            f"https://business.gemini.google/eu/home/cid/{_ID}?hl=de&csesidx=7#x",
            ("business", "eu", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google/home/cid/{_ID}?csesidx=7",
            ("enterprise", "global", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google/us/home/cid/{_ID}/r/session/9?csesidx=7",
            ("enterprise", "us", "7"),
        ),
        (f"vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7", ("enterprise", "eu", "7")),
        (
            f"HTTPS://VertexAISearch.cloud.google/EU/home/cid/{_ID}?csesidx=7",
            ("enterprise", "eu", "7"),
        ),
        (f"/eu/home/cid/{_ID}?csesidx=7", ("business", "global", "7")),
        (
            f"https://evil.example/vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7",
            ("business", "global", "7"),
        ),
        (
            f"https://vertexaisearch.cloud.google.evil.example/eu/home/cid/{_ID}?csesidx=7",
            ("business", "global", "7"),
        ),
    ],
)
def test_the_page_s_address_in_place_of_its_id_tells_the_rest(
    address: str, expected: tuple[str, str, str]
) -> None:
    one = load({"SECURE_C_SES": "CSE.x", "CONFIG_ID": address}).accounts[0]
    other = load({"SECURE_C_SES": "CSE.x", "CSESIDX": address}).accounts[0]
    several = load(
        {"ACCOUNTS": json.dumps([{"secure_c_ses": "CSE.x", "team_id": address}])}
    ).accounts[0]

    for account in (one, other, several):
        assert (account.edition, account.location, account.csesidx) == expected
        assert account.config_id == _ID


def test_what_is_given_goes_before_what_the_page_s_address_tells() -> None:
    page = f"https://vertexaisearch.cloud.google/eu/home/cid/{_ID}?csesidx=7"

    account = load(accounts(entry(config_id=page, csesidx="8", location="us"))).accounts[0]

    assert (account.csesidx, account.edition, account.location) == ("8", "enterprise", "us")


def test_the_pages_whose_addresses_are_known_are_those_of_the_editions() -> None:
    for edition in EDITIONS.values():
        told = read_page_address(f"{edition.page_url}/home/cid/{_ID}")

        assert told["edition"] == edition.name


def test_the_single_account_is_called_default_and_stands_first() -> None:
    settings = load({**ACCOUNT, **accounts(entry())})

    first, second = settings.accounts
    assert (first.name, first.csesidx, first.config_id) == ("default", "123456789", IDS[0])
    assert first.secure_c_ses.get_secret_value() == "CSE.AdwtfQ=="
    assert first.host_c_oses is not None
    assert first.host_c_oses.get_secret_value() == "COS.Bcvkk"
    assert (second.name, second.host_c_oses) == ("one", None)


@pytest.mark.parametrize("missing", ["SECURE_C_SES", "CSESIDX", "CONFIG_ID"])
def test_half_an_account_is_a_mistake_that_names_what_is_missing(missing: str) -> None:
    assert problem_of({**ACCOUNT, missing: ""}).startswith(f"{missing}: is missing")


@pytest.mark.parametrize("alone", ACCOUNT)
def test_one_value_of_an_account_alone_is_a_mistake(alone: str) -> None:
    missing = [name for name in ("SECURE_C_SES", "CSESIDX", "CONFIG_ID") if name != alone]

    assert [
        problem.partition(":")[0] for problem in problems_of({alone: ACCOUNT[alone]})
    ] == missing


def test_the_second_cookie_is_optional() -> None:
    assert load({**ACCOUNT, "HOST_C_OSES": ""}).accounts[0].host_c_oses is None


@pytest.mark.parametrize(
    "pasted",
    [
        "__Secure-C_SES=CSE.v=",
        "__Secure-C_SES=CSE.v=;",
        " CSE.v= ; ",
        '"CSE.v="',
        "'__Secure-C_SES=CSE.v=';",
        '__Secure-C_SES="CSE.v=";',
        "__Secure-C_SES: CSE.v=",
        "__secure-c_ses\tCSE.v=",
        '"__Secure-C_SES": "CSE.v=",'[:-1],
    ],
)
def test_a_pasted_cookie_is_reduced_to_its_value(pasted: str) -> None:
    assert (
        load({**ACCOUNT, "SECURE_C_SES": pasted}).accounts[0].secure_c_ses.get_secret_value()
        == "CSE.v="
    )


def test_the_second_pasted_cookie_is_reduced_to_its_value() -> None:
    cookie = load({**ACCOUNT, "HOST_C_OSES": "__Host-C_OSES=COS.v;"}).accounts[0].host_c_oses

    assert cookie is not None
    assert cookie.get_secret_value() == "COS.v"


@pytest.mark.parametrize("variable", ["SECURE_C_SES", "HOST_C_OSES"])
@pytest.mark.parametrize(
    "value", ["hunter2; b=c", "hunter2\r\nX: y", "hunter2\x00", "hunter2€", "hunter2\x85a", "\ud800hunter2", ";",
     "hunter2 # mine", "hunter2 hunter3", "hunter2,", 'hunter2"x', "hunter2\\", "hunter2-é", "REDACTED", "h***2",
     "your_cookie_value", "<cookie>", "${COOKIE}", "h" * 16385]
)  # fmt: skip
def test_what_is_no_cookie_s_value_is_refused_and_not_shown(variable: str, value: str) -> None:
    problem = problem_of({**ACCOUNT, variable: value})

    assert problem.startswith(f"{variable}: ")
    assert "hunter2" not in problem


def test_one_cookie_is_not_taken_for_the_other() -> None:
    problem = problem_of({**ACCOUNT, "SECURE_C_SES": "__Host-C_OSES=COS.v"})

    assert (
        problem
        == "SECURE_C_SES: is the cookie __Host-C_OSES; it must be the value of __Secure-C_SES"
    )


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CSESIDX", "12a"),
        ("CSESIDX", "-1"),
        ("CSESIDX", "١٢"),
        ("CONFIG_ID", "a b"),
        ("CONFIG_ID", "ü"),
    ],
)
def test_a_bad_number_or_id_of_an_account_is_refused(variable: str, value: str) -> None:
    assert problem_of({**ACCOUNT, variable: value}).startswith(f"{variable}: must be ")


@pytest.mark.parametrize(
    "pasted",
    [
        IDS[1].upper(),
        f"https://business.gemini.google/home/cid/{IDS[1]}",
        f"https://business.gemini.google/home/cid/{IDS[1]}/r/session/99?csesidx=17#x",
        f"https://vertexaisearch.cloud.google/us/home/cid/{IDS[1]}?csesidx=17",
        f"business.gemini.google/home/cid/{IDS[1]}/",
        f"/home/cid/{IDS[1]}",
        f"cid/{IDS[1]}",
        f"{IDS[1]}?csesidx=17&mods",
        PAGE,
    ],
)
def test_a_config_id_is_found_in_the_page_s_address(pasted: str) -> None:
    (single,) = load({**ACCOUNT, "CONFIG_ID": pasted}).accounts
    (listed,) = load(accounts({**entry(), "config_id": "", "team_id": pasted})).accounts

    assert single.config_id == listed.config_id == IDS[1]
    assert load({**ACCOUNT, "CONFIG_ID": pasted, "GEMINI_BUSINESS_CONFIG_ID": IDS[1]}).accounts == (
        single,
    )
    assert load(accounts(entry(team_id=pasted))).accounts == (listed,)


@pytest.mark.parametrize(
    "pasted",
    [
        PAGE,
        "csesidx=17",
        "?csesidx=17",
        "&csesidx=17&mods",
        f"{IDS[1]}?mods&csesidx=17#x",
        "csesidx: 17",
        " 17 ",
    ],
)
def test_a_csesidx_is_found_in_the_page_s_address(pasted: str) -> None:
    (account,) = load({**ACCOUNT, "CSESIDX": pasted}).accounts

    assert account.csesidx == "17"


NO_CONFIG_IDS = [
    "your_config_id", "your-config-id-here", "<config-id>", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "${CONFIG_ID}",
    "00000000-0000-0000-0000-000000000000", "1", "17", f"{IDS[1]} # mine", f"{IDS[1]},{IDS[2]}", f"'{IDS[1]}' ",
    IDS[1][:-1], f"{IDS[1]}0", "csesidx=17", "https://business.gemini.google/home", f"https://x.example/{IDS[1]}",
    "https://business.gemini.google/home/cid/your_config_id?csesidx=17", f"https://x.example/ cid/{IDS[1]}",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_CONFIG_IDS)
def test_what_is_no_config_id_is_refused(value: str) -> None:
    assert problem_of(accounts(entry(config_id=value))).startswith("ACCOUNTS[0].config_id: ")


@pytest.mark.parametrize(
    "value", ["your_csesidx", "csesidx=", "csesidx=1a", "1 # mine", "17,18", IDS[1], "<digits>"]
)
def test_what_is_no_csesidx_is_refused(value: str) -> None:
    assert problem_of({**ACCOUNT, "CSESIDX": value}) == "CSESIDX: must be decimal digits"


def test_accounts_are_read_from_a_json_array() -> None:
    given = [
        entry(csesidx=17, host_c_oses="", extra={"x": 1}),
        {"secure_c_ses": "CSE.two", "csesidx": "2", "team_id": IDS[2]},
        entry(name="Zoë 3", csesidx="3", config_id="", team_id=IDS[3]),
    ]

    settings = load(accounts(*given))

    assert [account.name for account in settings.accounts] == ["one", "account-2", "Zoë 3"]
    assert [account.csesidx for account in settings.accounts] == ["17", "2", "3"]
    assert [account.config_id for account in settings.accounts] == IDS[1:4]
    assert settings.accounts[0].host_c_oses is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"secure_c_ses": "a;b"}, "secure_c_ses"),
        ({"secure_c_ses": 5}, "secure_c_ses"),
        ({"secure_c_ses": None}, "secure_c_ses"),
        ({"host_c_oses": "a\nb"}, "host_c_oses"),
        ({"csesidx": 1.5}, "csesidx"),
        ({"csesidx": True}, "csesidx"),
        ({"csesidx": "x"}, "csesidx"),
        ({"config_id": ["c"]}, "config_id"),
        ({"config_id": "\ud800"}, "config_id"),
        ({"name": "a\nb"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "n" * 129}, "name"),
        ({"name": "\u202eabc"}, "name"),
        ({"team_id": "other"}, "team_id"),
    ],
)
def test_a_bad_account_is_named_by_its_index_and_field(
    changes: dict[str, object], field: str
) -> None:
    bad = entry(**{"name": "two", "csesidx": "2", **changes})

    assert problem_of(accounts(entry(), bad)).startswith(f"ACCOUNTS[1].{field}: ")


def test_every_mistake_of_every_account_is_named() -> None:
    problems = problems_of(accounts({"csesidx": "x"}, entry(), 5, entry(csesidx="9")))

    assert [problem.partition(": ")[0] for problem in problems] == [
        "ACCOUNTS[0].secure_c_ses",
        "ACCOUNTS[0].csesidx",
        "ACCOUNTS[0].config_id",
        "ACCOUNTS[2]",
        "ACCOUNTS[3].name",
    ]


@pytest.mark.parametrize("field", [{"disabled": True}, {"is_active": False}, {"enabled": False}])
def test_an_account_that_was_written_down_as_disabled_is_left_out(field: dict[str, bool]) -> None:
    nameless = {name: value for name, value in entry(csesidx="7").items() if name != "name"}
    settings = load(
        accounts({**entry(), **field}, {"secure_c_ses": "your_cookie", **field}, nameless)
    )

    assert [account.name for account in settings.accounts] == ["account-3"]


def test_two_accounts_cannot_have_the_same_name() -> None:
    assert problem_of({**ACCOUNT, **accounts(entry(name="default"))}).startswith(
        "ACCOUNTS[0].name: is also the name of"
    )


def test_the_same_account_twice_is_a_mistake() -> None:
    same = entry(secure_c_ses=ACCOUNT["SECURE_C_SES"], csesidx=int(ACCOUNT["CSESIDX"]))

    assert (
        problem_of({**ACCOUNT, **accounts(same)})
        == "ACCOUNTS[0]: is the same account as SECURE_C_SES; give it once"
    )
    assert len(load({**ACCOUNT, **accounts({**same, "secure_c_ses": "CSE.other"})}).accounts) == 2
