"""All mistakes in one error, whatever the environment holds, and no secret in it."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.settings_page import documented
from gbproxy.settings import LEGACY_IGNORED, Settings, SettingsError, load
from gbproxy.settings.environment import IN_FILES
from tests.support.environments import ACCOUNT, KEY, KNOWN, entry, models, problems_of


def test_all_mistakes_come_in_one_message_without_any_secret() -> None:
    secrets = ["hunter-one", "hunter-two", "hunter-three", "hunter-four", "hunter-five"]
    environ = {
        "SERVER_PORT": "many",
        "WEB_CONCURRENCY": "0",
        "HOST": "not a host",
        "API_KEY": secrets[0],
        "ADMIN_KEY": "changeme",
        "SECURE_C_SES": secrets[1],
        "ACCOUNTS": json.dumps(
            [entry(secure_c_ses=f"{secrets[2]};"), {"secure_c_ses": f"{secrets[2]};x"}]
        ),
        "PROXY": f"ftp://u:{secrets[3]}@h",
        "UPSTREAM_HEADERS": json.dumps({"Authorization": secrets[4]}),
        "GEMINI_API_BASE": "nowhere",
        "MODELS": "[{}]",
        "DEFAULT_MODEL": "x y",
        "READ_TIMEOUT_S": "soon",
        "DATABASE_URL_FILE": "/does/not/exist",
        "TIME_ZONE": "Mars",
    }

    with pytest.raises(SettingsError) as caught:
        load(environ, KNOWN)

    message = str(caught.value)
    assert message.splitlines() == caught.value.problems
    assert {line.partition(":")[0] for line in message.splitlines()} == {
        *(set(environ) - {"ACCOUNTS", "MODELS", "SECURE_C_SES"}),
        "CSESIDX",
        "CONFIG_ID",
        "ACCOUNTS[1].secure_c_ses",
        "ACCOUNTS[1].csesidx",
        "ACCOUNTS[1].config_id",
        "MODELS[0].id",
    }
    assert not [secret for secret in secrets if secret in message]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_default_model_is_still_looked_up_beside_other_mistakes() -> None:
    problems = problems_of({"PORT": "x", "DEFAULT_MODEL": "mine", **models({"id": "other"})})

    assert [problem.partition(":")[0] for problem in problems] == ["PORT", "DEFAULT_MODEL"]


_NAMES = sorted(
    {name for item in documented() for name in (item.name, *item.aliases)} | LEGACY_IGNORED
)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "name", "secure_c_ses", "csesidx", "team_id", "tools", "aliases"]
            )
            | st.text(),
            inner,
        )
    ),
    max_leaves=8,
).map(json.dumps)


# lone surrogates too: undecodable bytes of a real environment
_ANY_TEXT = st.text(st.characters(), max_size=30)


_NEARLY = st.sampled_from(
    "0 1 8080 http://h http://[ https://a@b:c socks5://:1 127.0.0.1 off [{}] [null] null UTC"
    f" America en-US sqlite:/// gemini-business {KEY} {KEY},,x \ud800".split()
)


@given(
    st.dictionaries(st.sampled_from(_NAMES), _ANY_TEXT | _NEARLY | _JSON, max_size=12),
    st.dictionaries(
        st.sampled_from(sorted(IN_FILES)).map("{}_FILE".format),
        _ANY_TEXT | st.just(os.devnull),
        max_size=2,
    ),
)
def test_any_environment_gives_settings_or_one_message(
    environ: dict[str, str], files: dict[str, str]
) -> None:
    given_names = {*environ, *files, *ACCOUNT}
    try:
        settings = load({**environ, **files}, KNOWN)
    except SettingsError as error:
        names = {line.partition(":")[0].partition("[")[0] for line in str(error).split("\n")}
        readable = str(error).encode(errors="ignore").decode() == str(error)
    else:
        names, readable = set(), isinstance(settings, Settings)

    assert names <= given_names
    assert readable
