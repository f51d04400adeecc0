"""The simulator as a process of its own: `gbproxy simulate`.

Prints one JSON line when it is ready, serves until SIGTERM or SIGINT, and ends with status 0.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gbproxy.simulator.scripting.control import queue_scripts
from gbproxy.simulator.scripting.replay import Replay
from gbproxy.simulator.services import GROUPS, SPECS, Switches
from gbproxy.simulator.simulator import Simulator
from gbproxy.simulator.widget.accounts import Account

DEMO_WORD_DELAY_S = 0.03
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_ACCOUNT_FIELDS = (
    "csesidx",
    "secure_c_ses",
    "host_c_oses",
    "config_id",
    "project_number",
    "getoxsrf",
    "edition",
    "location",
    "server_token",
)
# The first switch of each group -> the group's heading.
_HEADINGS = {
    dataclasses.fields(group)[0].name: " ".join(str(group.__doc__).split()) for group in GROUPS
}


def main(argv: Sequence[str]) -> int:
    """Run the command with these arguments (without the program's name); the exit status."""
    options = _parser().parse_args(argv)
    if options.list_switches:
        _print(_describe())
        return 0
    try:
        switches = Switches().changed(
            **{"word_delay_s": DEMO_WORD_DELAY_S, **dict(map(_parse_setting, options.set))}
        )
        accounts = [_account(text) for text in options.account]
        answers = json.loads(Path(options.script).read_text("utf-8")) if options.script else []
        with _signals_held(), _simulator(options, switches) as simulator:
            _configure(simulator, accounts, answers)
            _print(json.dumps(_ready(simulator)))
            signal.sigwait(_SIGNALS)
    except (OSError, OverflowError, RecursionError, TypeError, ValueError) as error:
        sys.stderr.write(f"gbproxy simulate: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gbproxy simulate", description="A fake of the Gemini Business upstream."
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: loopback)")
    parser.add_argument(
        "--port", type=int, default=0, help="0 takes a free one, told in the first line"
    )
    parser.add_argument(
        "--tls", action="store_true", help="serve HTTPS with a certificate of its own authority"
    )
    parser.add_argument("--script", metavar="FILE.json", help="answers to give first, in order")
    parser.add_argument(
        "--replay", metavar="FILE", help="answer as a file of `gbproxy capture` has it"
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        help="of a replay: 2 is twice as fast, 0 without any silence",
    )
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help="set a switch"
    )
    parser.add_argument("--seed", type=int, help="makes ids and random cuts repeatable")
    parser.add_argument(
        "--account",
        metavar="NAME=VALUE,…",
        action="append",
        default=[],
        help=f"an account instead of the built-in one, of {', '.join(_ACCOUNT_FIELDS)}; repeatable",
    )
    parser.add_argument("--list-switches", action="store_true", help="print every switch and end")
    return parser


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 <= speed < math.inf:
        raise ValueError("a speed is 0 or more")
    return speed


def _simulator(options: argparse.Namespace, switches: Switches) -> Simulator:
    replay = None
    if options.replay:
        with Path(options.replay).open(encoding="utf-8") as lines:
            replay = Replay(lines, options.speed)
    return Simulator(
        switches=switches,
        host=options.host,
        port=options.port,
        tls=options.tls,
        seed=options.seed,
        replay=replay,
    )


def _configure(simulator: Simulator, accounts: list[dict[str, str]], answers: Any) -> None:
    if accounts:
        simulator.accounts.clear()
    for values in accounts:
        simulator.add_account(**values)
    if not isinstance(answers, list):
        raise ValueError("a script file holds a list of answers")
    queue_scripts(simulator.script, answers)


def _account(text: str) -> dict[str, str]:
    values = dict(part.strip().partition("=")[::2] for part in text.split(","))
    unknown = set(values) - set(_ACCOUNT_FIELDS)
    if unknown:
        raise ValueError(f"unknown in --account: {', '.join(sorted(unknown))}")
    return values


def _ready(simulator: Simulator) -> dict[str, Any]:
    return {
        "url": simulator.url,
        "ca_file": str(simulator.ca_file) if simulator.ca_file else None,
        "account": _shown(simulator.account),
        "environment": simulator.environment(),
    }


def _shown(account: Account) -> dict[str, Any]:
    values = dataclasses.asdict(account)
    return {name: values[name] for name in _ACCOUNT_FIELDS if values[name] is not None}


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep the signals pending for `sigwait`; held before any thread starts, so in all of them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _parse_setting(setting: str) -> tuple[str, object]:
    """Read `NAME=VALUE` as typed on a command line. Raises ValueError."""
    name, equals, text = setting.partition("=")
    if not equals or name not in SPECS:
        raise ValueError(f"expected NAME=VALUE with the name of a switch, not {setting!r}")
    default: Any = SPECS[name].default
    if isinstance(default, bool):
        known = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        if text.lower() not in known:
            raise ValueError(f"{name} is on or off, not {text!r}")
        return name, known[text.lower()]
    if isinstance(default, tuple):
        return name, tuple(part.strip() for part in text.split(",") if part.strip())
    return name, type(default)(text)


def _describe() -> str:
    """A paragraph for each switch, by group: its values, default, fact, and how sure that is."""
    lines: list[str] = []
    for name, spec in SPECS.items():
        if name in _HEADINGS:
            lines.append(f"\n# {_HEADINGS[name]}\n" if lines else f"# {_HEADINGS[name]}\n")
        values = "any, e.g. " if spec.metadata["open_ended"] else ""
        values += " | ".join(_switch_text(value) for value in spec.metadata["values"])
        lines.append(f"{name} = {_switch_text(spec.default)}\n    values: {values}")
        lines.append(f"    {spec.metadata['fact']} ({spec.metadata['certainty']})")
    return "\n".join(lines)


def _switch_text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
