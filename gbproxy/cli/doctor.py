"""`gbproxy doctor`: is everything as it should be, and if not, what to do?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from gbproxy.cli import environment
from gbproxy.cli.finding import LEVELS, Finding, worst
from gbproxy.cli.terminal import CommandError, printable, say, say_json, without_log

if TYPE_CHECKING:
    from gbproxy.settings import Settings

_NAMES_WIDTH = 20
_READ_S = 20.0  # for the probes: a person waits for them


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Look at the settings, the database, Redis, the way to the upstream, the clock and each"
        " account (by a live call), and say what to do. The exit status is 0 when all is well, 1"
        " with warnings only, 2 with failures."
    )
    parser.add_argument(
        "--deep",
        nargs="?",
        const="",
        metavar="ACCOUNT",
        help=(
            "sign in, open a session, ask one question, list and delete on this account (default:"
            " the first one), show each call, and where one fails, try other ways and name the"
            " causes. It costs one question of the day's quota, and where a step fails up to one"
            " more for each way that passes"
        ),
    )
    parser.add_argument("--json", action="store_true", help="say it in JSON, once all is known")
    environment.add_env_file(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    given = environment.environ(options)
    if options.deep is not None:
        return _deep(options.deep, given, as_json=options.json)
    findings = []
    with without_log():
        for finding in _findings(given):
            findings.append(finding)
            if not options.json:
                _show(finding)
    level = worst(findings)
    if options.json:
        say_json({"status": level, "checks": [asdict(finding) for finding in findings]})
    return LEVELS.index(level)


def _deep(wanted: str, given: Mapping[str, str], *, as_json: bool) -> int:
    from gbproxy.cli import capture, deep, embedded, reports

    settings = environment.settings(given)
    met = []
    with without_log(), embedded.opened(settings) as services:
        services.registry.sync()  # with the stored accounts
        account = capture.chosen(tuple(services.pool.accounts()), wanted or None)
        if not as_json:
            say(
                "One question of the day's quota is asked on the account"
                f" {printable(account.name)}."
            )
        for report in deep.examine(services, account):
            met.append(report)
            if not as_json:
                reports.show(report)
    if as_json:
        say_json({"steps": [reports.as_json(report) for report in met]})
    return LEVELS.index(max((report.level for report in met), key=LEVELS.index))


def _findings(given: Mapping[str, str]) -> Iterator[Finding]:
    """Each as soon as it is known."""
    from gbproxy.cli import checks

    settings, mistakes = checks.settings(given)
    yield from mistakes
    if settings is None:
        yield Finding(
            "warn",
            "all else",
            "not looked at, as it depends on the settings",
            "Run gbproxy doctor again then.",
        )
        return
    has_database, finding = checks.database(settings)
    yield finding
    yield from checks.limits(settings, has_database=has_database)
    reached = checks.network(settings)
    yield from reached
    if worst(reached) == "fail":
        yield Finding(
            "warn",
            "accounts",
            "not asked, as the upstream cannot be reached",
            "Run gbproxy doctor again then.",
        )
        return
    yield from _credentials(
        settings if has_database else settings.model_copy(update={"database_url": None})
    )


def _credentials(settings: Settings) -> list[Finding]:
    from gbproxy.cli import checks, embedded
    from gbproxy.errors import StorageUnavailable

    settings = settings.model_copy(update={"read_timeout_s": min(settings.read_timeout_s, _READ_S)})
    try:
        with embedded.opened(settings) as services:
            services.registry.sync()  # with the stored accounts
            return checks.credentials(tuple(services.pool.accounts()), services.upstream.probe)
    except (CommandError, StorageUnavailable) as error:
        return [Finding("fail", "database", str(error), "Look at the database's own log.")]


def _show(finding: Finding) -> None:
    say(
        f"{finding.level:<6}{printable(finding.check):<{_NAMES_WIDTH}}  {printable(finding.detail)}"
    )
    if finding.advice:
        say(f"{'':<{_NAMES_WIDTH + 6}}  → {printable(finding.advice)}")
