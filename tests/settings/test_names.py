"""Where settings come from: defaults, names of variables, aliases, those of older programs."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from docs.settings_page import documented
from gbproxy import __version__
from gbproxy.settings import LEGACY_IGNORED, Settings, load
from tests.support.environments import ACCOUNT, IDS, KEY, KNOWN, problem_of


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = load({}, KNOWN)

    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert (settings.web_concurrency, settings.worker_connections) == (1, 1000)
    assert (settings.graceful_timeout_s, settings.max_body_mb) == (120, 32)
    assert (settings.log_level, settings.log_format) == ("info", "json")
    assert (settings.api_keys, settings.accounts, settings.models, settings.ignored) == (
        (),
        (),
        (),
        (),
    )
    assert (settings.gemini_business_url, settings.api_base_url) == (None, None)
    assert (settings.proxy, settings.ca_bundle, settings.upstream_headers) == (None, None, {})
    assert settings.user_agent == f"gbproxy/{__version__}"
    assert (settings.connect_timeout_s, settings.read_timeout_s, settings.request_timeout_s) == (
        10,
        120,
        1800,
    )
    assert (settings.prompt_max_chars, settings.default_model, settings.session_timeout) == (
        400_000,
        "gemini-auto",
        1800.0,
    )
    assert (settings.upstream_stream, settings.thoughts) == ("json", "hide")
    assert (settings.language_code, settings.time_zone) == ("en-US", "UTC")
    assert settings.status_lines == (
        "Assessing the Request",
        "Generating Response",
        "Analyzing the Request",
        "Formulating the Response",
        "Refining the Response",
    )


def test_the_process_environment_is_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9999")
    monkeypatch.setenv("port", "9998")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")

    settings = load({})

    assert (settings.port, settings.proxy) == (8080, None)
    assert Settings().port == 8080


@pytest.mark.parametrize("variable", [item.name for item in documented()])
@pytest.mark.parametrize("empty", ["", "  ", "\t\n"])
def test_an_empty_value_means_unset(variable: str, empty: str) -> None:
    assert load({variable: empty}, KNOWN) == load({})


def test_settings_cannot_be_changed() -> None:
    settings = load(ACCOUNT)

    with pytest.raises(ValidationError):
        settings.port = 1  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.accounts[0].name = "other"  # type: ignore[misc]


def test_no_secret_shows_when_settings_are_printed() -> None:
    environ = {
        **ACCOUNT,
        "API_KEYS": KEY,
        "ADMIN_KEY": f"admin-{KEY}",
        "METRICS_KEY": f"metrics-{KEY}",
        "SECRET_KEY": f"sign-{KEY}",
        "DATABASE_URL": "postgresql://u:dbpass-77@h/d",
        "PROXY": "http://u:proxypass-88@h:1",
        "UPSTREAM_HEADERS": '{"X-Token": "headersecret-99"}',
    }

    shown = repr(load(environ)) + str(load(environ))

    for secret in (
        ACCOUNT["SECURE_C_SES"],
        ACCOUNT["HOST_C_OSES"],
        KEY,
        "dbpass-77",
        "proxypass-88",
        "headersecret-99",
    ):
        assert secret not in shown


BLOCKS = {
    "A": (
        """
        GEMINI_API_BASE=https://biz-discoveryengine.googleapis.com
        AUTH_DOMAIN=auth.business.gemini.google
        BUSINESS_DOMAIN=business.gemini.google
        CONFIG_ID=11111111-2222-4333-8444-555555555555
        JWT_EXPIRY_MINUTES=60
        LOG_LEVEL=info
    """
    ),
    "B": (
        """
        SERVER_ADDRESS=0.0.0.0
        SERVER_PORT=8080
        GEMINI_BUSINESS_URL=https://business.gemini.google
        API_BASE_URL=https://biz-discoveryengine.googleapis.com/v1alpha
        AUTH_URL=https://auth.business.gemini.google
        ACCOUNT_EMAIL=someone@example.com
        SESSION_TIMEOUT=1800
        OPENAI_COMPATIBLE=true
        API_KEY_HEADER=Authorization
        DEFAULT_MODEL=gemini-business
        LOG_LEVEL=info
        LOG_FORMAT=json
    """
    ),
    "C": (
        """
        GEMINI_BUSINESS_EMAIL=someone@example.com
        GEMINI_BUSINESS_CONFIG_ID=11111111-2222-4333-8444-555555555555
        PORT=8080
        LOG_LEVEL=info
        JWT_SECRET=a_long_random_value
    """
    ),
    "D": (
        """
        SECURE_C_SES=CSE.fromblockd
        CSESIDX=424242
        CONFIG_ID=11111111-2222-4333-8444-555555555555
        HOST_C_OSES=
        API_KEY=sk-0123456789abcdef
        SECRET_KEY=b7e151628aed2a6abf71589
        PROXY=http://127.0.0.1:7890
        DATABASE_URL=postgresql://user:password@localhost:5432/gemini_db
    """
    ),
}


def block(letter: str) -> dict[str, str]:
    return dict(line.strip().split("=", 1) for line in BLOCKS[letter].strip().splitlines())


@pytest.mark.parametrize("letter", BLOCKS)
def test_the_settings_of_older_programs_work_when_pasted(letter: str) -> None:
    beside = {"SECURE_C_SES": "CSE.beside", "CSESIDX": "77", "HOST_C_OSES": "COS.beside"}
    if letter == "B":
        beside["CONFIG_ID"] = "11111111-2222-4333-8444-555555555555"

    settings = load({**beside, **block(letter)}, KNOWN)

    assert [account.config_id for account in settings.accounts] == [
        "11111111-2222-4333-8444-555555555555"
    ]
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    assert settings.gemini_business_url in (None, "https://business.gemini.google")
    assert settings.api_base_url in (None, "https://biz-discoveryengine.googleapis.com/v1alpha")
    assert settings.default_model == "gemini-auto"


@pytest.mark.parametrize(
    ("letter", "ignored"),
    [
        ("A", ("AUTH_DOMAIN", "JWT_EXPIRY_MINUTES")),
        ("B", ("ACCOUNT_EMAIL", "API_KEY_HEADER", "AUTH_URL", "OPENAI_COMPATIBLE")),
        ("C", ("GEMINI_BUSINESS_EMAIL", "JWT_SECRET")),
        ("D", ()),
    ],
)
def test_the_variables_of_older_programs_without_effect_are_named(
    letter: str, ignored: tuple[str, ...]
) -> None:
    beside = {} if letter == "B" else {"SECURE_C_SES": "CSE.beside", "CSESIDX": "77"}

    assert load({**beside, **block(letter)}).ignored == ignored


def test_settings_without_an_account_are_accepted() -> None:
    assert load(block("B"), KNOWN).accounts == ()


@pytest.mark.parametrize("variable", sorted(LEGACY_IGNORED))
def test_a_variable_without_effect_is_named_when_it_is_set(variable: str) -> None:
    assert load({variable: "1"}).ignored == (variable,)
    assert load({variable: " "}).ignored == ()


@pytest.mark.parametrize(
    ("name", "alias", "given", "attribute", "value"),
    [
        ("HOST", "SERVER_ADDRESS", "127.0.0.1", "host", "127.0.0.1"),
        ("PORT", "SERVER_PORT", "8081", "port", 8081),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "https://x.example",
            "api_base_url",
            "https://x.example/v1alpha",
        ),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "https://x.example/",
            "api_base_url",
            "https://x.example/v1alpha",
        ),
        (
            "API_BASE_URL",
            "GEMINI_API_BASE",
            "http://x.example:1/v1alpha/",
            "api_base_url",
            "http://x.example:1/v1alpha",
        ),
        (
            "GEMINI_BUSINESS_URL",
            "BUSINESS_DOMAIN",
            "x.example",
            "gemini_business_url",
            "https://x.example",
        ),
        (
            "GEMINI_BUSINESS_URL",
            "BUSINESS_DOMAIN",
            "http://x.example/",
            "gemini_business_url",
            "http://x.example",
        ),
    ],
)
def test_an_alias_sets_the_same_setting(
    name: str, alias: str, given: str, attribute: str, value: object
) -> None:
    assert getattr(load({alias: given}), attribute) == value
    assert getattr(load({alias: given, name: str(value)}), attribute) == value


@pytest.mark.parametrize(
    ("name", "alias", "one", "other"),
    [
        ("HOST", "SERVER_ADDRESS", "127.0.0.1", "127.0.0.2"),
        ("PORT", "SERVER_PORT", "8080", "8081"),
        ("API_KEYS", "API_KEY", KEY, KEY + "x"),
        ("CONFIG_ID", "GEMINI_BUSINESS_CONFIG_ID", IDS[1], IDS[2]),
        ("API_BASE_URL", "GEMINI_API_BASE", "https://x.example/v2", "https://x.example"),
        ("GEMINI_BUSINESS_URL", "BUSINESS_DOMAIN", "https://x.example", "y.example"),
    ],
)
def test_a_name_and_its_alias_with_different_values_are_a_mistake(
    name: str, alias: str, one: str, other: str
) -> None:
    beside = {"SECURE_C_SES": "CSE.x", "CSESIDX": "1"} if name == "CONFIG_ID" else {}

    problem = problem_of({**beside, name: one, alias: other})

    assert problem.startswith(f"{name}: ")
    assert alias in problem
    assert one not in problem
    assert other not in problem


@pytest.mark.parametrize(
    ("alias", "value"),
    [
        ("SERVER_PORT", "x"),
        ("SERVER_ADDRESS", "a b"),
        ("API_KEY", "short"),
        ("GEMINI_API_BASE", "ftp://x"),
        ("BUSINESS_DOMAIN", "a b"),
    ],
)
def test_a_mistake_names_the_alias_that_the_user_wrote(alias: str, value: str) -> None:
    assert problem_of({alias: value}).startswith(f"{alias}: ")
