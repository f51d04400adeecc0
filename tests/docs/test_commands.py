"""docs/simulator.md and docs/deployment.md give the commands and words that there are."""

from __future__ import annotations

import re
from pathlib import Path

from gbproxy.settings.environment import read_env_file
from gbproxy.simulator import SWITCH_VALUES, Simulator, script_from_json
from tests.docs.markdown import ROOT, Page, code

PAGE = Page.read("docs/simulator.md")


def test_the_settings_for_the_simulator_are_those_of_its_own_account(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(PAGE.blocks("dotenv")[0].text, "utf-8")
    given = read_env_file(tmp_path / "env")

    with Simulator() as simulator:
        own = {
            name: value.replace(simulator.url, "http://127.0.0.1:9090")
            for name, value in simulator.environment().items()
        }

    assert given == own


def test_the_simulator_has_the_switches_and_actions_that_are_named() -> None:
    switches = set(re.findall(r"--set (\w+)=", PAGE.text))
    told = re.search(r"actions \((.*?)\).*?failure \((.*?)\)", PAGE.prose, re.DOTALL)

    assert switches
    assert switches <= SWITCH_VALUES.keys()
    assert told is not None
    assert [name for name in code(told[1] + told[2]) if not _is_action(name)] == []


def test_the_command_for_the_container_is_that_of_make() -> None:
    told = Page.read("docs/deployment.md").section("The container").blocks("console")[1].text
    made = (ROOT / "Makefile").read_text("utf-8")

    options = set(re.findall(r"--[a-z-]+(?:[= ](?!-)[\w/.-]+)?", told)) - {
        "--env-file .env",
        "--stop-timeout 136",
    }
    assert options == {
        "--rm",
        "--read-only",
        "--tmpfs /tmp",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    }
    assert [option for option in options if option not in made] == []


def _is_action(name: str) -> bool:
    """True if a script may have it; without its own fields it may be incomplete, but never unknown."""
    try:
        script_from_json([{"action": name}])
    except ValueError as error:
        return "no action is called" not in str(error)
    return True
