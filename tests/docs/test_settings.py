"""docs/settings.md, conf/env.example and every page name the settings that there are, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import settings_page
from docs.settings_page import documented
from gbproxy.domain.catalogue import built_in_names
from gbproxy.settings import LEGACY_IGNORED, Settings, SettingsError, load
from gbproxy.settings.environment import ALIASES, SECRETS, read_env_file
from tests.docs.markdown import ROOT, Block, Page, code, pages
from tests.support.environments import ACCOUNT

SETTINGS = Page.read("docs/settings.md")
BUILT = documented()
NAMES = {name for setting in documented() for name in (setting.name, *setting.aliases)}
KEY = "sk-9f2c41d07ab84e5e11"
# Variables that pages name and that are none of the gateway's settings.
NO_SETTINGS = {
    "OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_API_BASE_URL", "DEMO_EXIT", "HTTPS_PROXY", "SIMULATOR", "SCRIPT_NAME",
    "SECURE_C_SES_FILE", "PERMISSION_DENIED", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
    "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", "GEMINI_MODEL", "GOOGLE_URL", "GOOGLE_PROXY_URL",
    "GOOGLE_API_KEY", "CUSTOM_MODELS", "BASE_URL", "OPENAI_PROXY_URL", "OPENAI_MODEL_LIST",
    "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "MAX_TOKENS",
    "MALFORMED_FUNCTION_CALL", "NO_IMAGE", "BACKUP_PASSPHRASE",
}  # fmt: skip
NO_VARIABLES = {"IGNORED", "DATABASE_IS_TEMPORARY"}
IN_WORDS = {"unset", "the edition's", "the system's", "built-in catalogue", "gbproxy/<version>"}
BLOCKS = [
    pytest.param(block, id=f"{page.path.name} line {block.line}")
    for page in pages()
    for block in page.blocks("dotenv")
]


def test_the_page_is_the_one_that_the_code_makes() -> None:
    assert SETTINGS.text == settings_page.page(), "run `make docs-settings`"


def test_every_setting_stands_in_a_table_with_its_other_names_and_its_default() -> None:
    rows = [(code(names), default) for names, default, _ in SETTINGS.rows()]
    told = {names[0]: (set(names[1:]), default.replace("`", "")) for names, default in rows}

    assert told == {setting.name: (set(setting.aliases), setting.default) for setting in BUILT}


def test_the_names_that_may_come_from_files_are_listed() -> None:
    listed = SETTINGS.section("Secrets from files").text.partition(": ")[2]

    assert set(code(listed)) == {name for name in NAMES if _is_read_from_a_file(name)}


# These two quote the upstream's own words in capitals.
_WITH_WORDS_OF_THE_UPSTREAM = ("upstream.md", "CHANGELOG.md")


@pytest.mark.parametrize(
    "page",
    [page for page in pages() if page.path.name not in _WITH_WORDS_OF_THE_UPSTREAM],
    ids=lambda page: page.path.name,
)
def test_no_variable_is_named_that_does_not_exist(page: Page) -> None:
    # OpenTelemetry's SDK reads its own.
    known = LEGACY_IGNORED | NAMES | NO_SETTINGS
    named = {
        name for name in re.findall(r"`([A-Z][A-Z0-9_]{2,})(?:=[^`]*)?`", page.prose) if "_" in name
    }

    assert {name for name in named - known if not name.startswith("OTEL_")} == set()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_settings_is_understood(block: Block, tmp_path: Path) -> None:
    given = _env_file(tmp_path, block.text)
    own_key = {**given, "API_KEYS": KEY}

    settings = load(own_key, built_in_names())

    assert settings.ignored == ()
    assert given.keys() <= {setting.name for setting in BUILT}


def test_the_key_of_the_example_is_refused_so_that_nobody_serves_with_it(tmp_path: Path) -> None:
    given = _env_file(tmp_path, Page.read("README.md").blocks("dotenv")[0].text)

    with pytest.raises(SettingsError) as refused:
        load(given, built_in_names())

    assert [problem.partition(":")[0] for problem in refused.value.problems] == ["API_KEYS"]


def test_the_example_file_loads_as_it_is_and_sets_nothing() -> None:
    given = read_env_file(ROOT / "conf/env.example")

    assert load(given, built_in_names()) == load({}, built_in_names())


def test_the_example_file_names_every_setting_that_works_with_its_default(tmp_path: Path) -> None:
    text = (ROOT / "conf/env.example").read_text("utf-8")
    given = _env_file(tmp_path, re.sub(r"^#(?=[A-Z_]+=)", "", text, flags=re.MULTILINE))

    assert given.keys() == {setting.name for setting in BUILT}
    assert load(given, built_in_names()) == load({}, built_in_names())
    literal = {setting.name: setting.default for setting in BUILT if given[setting.name]}
    assert {name: given[name] for name in literal} == literal


def test_every_field_is_documented_with_its_default_and_its_names() -> None:
    by_name = {item.name: item for item in documented()}

    assert set(by_name) >= {name.upper() for name in Settings.model_fields} - {
        "SECRET_KEYS",
        *NO_VARIABLES,
    }
    assert set(by_name) >= {*ACCOUNT, "SECRET_KEY"}
    assert all(item.description and item.default for item in by_name.values())
    assert {name for name, item in by_name.items() if item.secret} == SECRETS - {"API_KEY"}
    assert {name: item.aliases for name, item in by_name.items() if item.aliases} == {
        name: tuple(aliases) for name, aliases in ALIASES.items()
    }
    assert (by_name["PORT"].default, by_name["CONNECT_TIMEOUT_S"].default) == ("8080", "10")
    assert (by_name["PROXY"].default, by_name["USER_AGENT"].default) == (
        "unset",
        "gbproxy/<version>",
    )
    assert (by_name["PROMPT_MAX_CHARS"].default, by_name["ACCOUNTS"].default) == ("400000", "unset")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        (item.name, item.default)
        for item in documented()
        if not item.secret and item.default not in IN_WORDS
    ],
)
def test_a_documented_default_is_the_value_without_the_variable(name: str, default: str) -> None:
    assert load({name: default}) == load({})


def _env_file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "env"
    path.write_text(text, "utf-8")
    return read_env_file(path)


def _is_read_from_a_file(name: str) -> bool:
    try:
        load({f"{name}_FILE": "no-such-file"}, built_in_names())
    except SettingsError as error:
        return f"{name}_FILE: the file cannot be read" in str(error)
    return False
