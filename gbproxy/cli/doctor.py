"""`gbproxy doctor`: run the checks and print what they find, with advice on each mistake."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from gbproxy.cli.clients import all_accounts, open_local
from gbproxy.cli.databases import Change, tell
from gbproxy.cli.environment import add_env_file, environ, load_settings
from gbproxy.cli.terminal import CommandError, echo, echo_json, printable, without_log
from gbproxy.errors import CredentialRefused, GatewayError, StorageUnavailable

if TYPE_CHECKING:
    from gbproxy.cli.checks import Finding
    from gbproxy.domain.account import Account
    from gbproxy.settings import Settings

_NAMES_WIDTH = 20
_READ_S = 20.0  # for the probes: a person waits for them
_PROBES_AT_ONCE = 8
_STATUSES = {"ok": "valid", "warn": "unknown", "fail": "refused"}  # of an account, by its finding


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
    parser.add_argument(
        "--tools",
        nargs="?",
        const="",
        metavar="ACCOUNT",
        help=(
            "ask for twenty function calls on this account (default: the first one), and say how"
            " many came, and how the others failed. It costs twenty questions of the day's quota,"
            " and one more for each call that has to be corrected. The exit status is 0 when all"
            " came, 1 when at least half did"
        ),
    )
    parser.add_argument(
        "--model", metavar="NAME", help="the model that --tools asks (default: DEFAULT_MODEL)"
    )
    parser.add_argument("--json", action="store_true", help="say it in JSON, once all is known")
    add_env_file(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    given = environ(options)
    if options.deep is not None:
        return _deep(options.deep, given, as_json=options.json)
    if options.tools is not None:
        return _tools(options.tools, options.model, given, as_json=options.json)
    from gbproxy.cli.checks import LEVELS, worst

    findings = []
    with without_log():
        for finding in _findings(given):
            findings.append(finding)
            if not options.json:
                _echo(finding)
    level = worst(findings)
    if options.json:
        echo_json({"status": level, "checks": [asdict(finding) for finding in findings]})
    return LEVELS.index(level)


def _deep(wanted: str, given: Mapping[str, str], *, as_json: bool) -> int:
    from gbproxy.cli import deep
    from gbproxy.cli.checks import LEVELS
    from gbproxy.cli.steps import choose_account

    settings = load_settings(given)
    reports = []
    with without_log(), open_local(settings) as services:
        account = choose_account(all_accounts(services), wanted or None)
        if not as_json:
            echo(
                "One question of the day's quota is asked on the account"
                f" {printable(account.name)}."
            )
        for report in deep.examine(services, account):
            reports.append(report)
            if not as_json:
                deep.show(report)
    if as_json:
        echo_json({"steps": [deep.as_json(report) for report in reports]})
    return LEVELS.index(max((report.level for report in reports), key=LEVELS.index))


def _tools(wanted: str, model: str | None, given: Mapping[str, str], *, as_json: bool) -> int:
    from gbproxy.cli import tool_rate
    from gbproxy.cli.checks import LEVELS

    settings = load_settings(given)
    results = []
    with without_log(), tool_rate.measuring(settings, wanted or None, model) as (account, measured):
        if not as_json:
            tool_rate.show_begin(account, model)
        for result in measured:
            results.append(result)
            if not as_json:
                tool_rate.show(result)
    if as_json:
        echo_json(tool_rate.as_json(account, model, results))
    else:
        tool_rate.show_end(results)
    return LEVELS.index(tool_rate.Rate.of(results).level)


def _findings(given: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the finding of each check when it is known."""
    from gbproxy.cli import checks

    settings, mistakes = checks.check_settings(given)
    yield from mistakes
    if settings is None:
        yield checks.Finding(
            "warn",
            "all else",
            "not looked at, as it depends on the settings",
            "Run gbproxy doctor again then.",
        )
        return
    has_database, finding = checks.check_database(settings)
    yield finding
    yield from checks.check_limits(settings, has_database=has_database)
    reached = checks.check_network(settings)
    yield from reached
    if checks.worst(reached) == "fail":
        yield checks.Finding(
            "warn",
            "accounts",
            "not asked, as the upstream cannot be reached",
            "Run gbproxy doctor again then.",
        )
        return
    yield from _check_credentials(
        settings if has_database else settings.model_copy(update={"database_url": None})
    )


def _check_credentials(settings: Settings) -> list[Finding]:
    """Ask the upstream about each account, several at once."""
    from gbproxy.cli.checks import Finding

    settings = settings.model_copy(update={"read_timeout_s": min(settings.read_timeout_s, _READ_S)})
    try:
        with open_local(settings) as services, ThreadPoolExecutor(_PROBES_AT_ONCE) as threads:
            accounts = all_accounts(services)
            probe = partial(_credential, probe=services.credential_checks.probe)
            findings = list(threads.map(probe, accounts))
            # The probes have stored what they found.
            tell(services.storage.database, map(_checked, accounts, findings))
            return findings
    except (CommandError, StorageUnavailable) as error:
        return [Finding("fail", "database", str(error), "Look at the database's own log.")]


def _credential(account: Account, probe: Callable[[Account], None]) -> Finding:
    from gbproxy.cli.checks import Finding

    name = f"account {account.name}"
    try:
        probe(account)
    except CredentialRefused as error:
        what, stop, advice = error.message.partition(". ")
        return Finding(
            "fail",
            name,
            what,
            advice if stop else "Compare its values with your browser's: docs/getting-started.md.",
        )
    except GatewayError as error:
        return Finding(
            "warn",
            name,
            f"not known: {error.message}",
            "Try again; this says nothing about its cookies.",
        )
    return Finding("ok", name, "signed in, and its sessions can be listed")


def _checked(account: Account, finding: Finding) -> Change:
    return "account.checked", account.id, {"status": _STATUSES[finding.level]}


def _echo(finding: Finding) -> None:
    echo(
        f"{finding.level:<6}{printable(finding.check):<{_NAMES_WIDTH}}  {printable(finding.detail)}"
    )
    if finding.advice:
        echo(f"{'':<{_NAMES_WIDTH + 6}}  → {printable(finding.advice)}")
