"""`gbproxy capture`: what the upstream really says to one account, in a file that can be handed
on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gbproxy.cli import environment
from gbproxy.cli.terminal import CannotBegin, CommandError, say, without_log

if TYPE_CHECKING:
    from gbproxy.cli.steps import Step
    from gbproxy.domain.account import Account

SMALL_QUESTION = "Say ok."


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Sign in, open a session, ask one question, list and delete, and write all that was sent"
        " and received into FILE, one JSON object a line, with its times. Cookies, tokens, ids,"
        " project numbers and e-mail addresses are replaced; texts become their shape, unless"
        " --with-text is given. It costs one question of the day's quota. `gbproxy simulate"
        " --replay FILE` plays it."
    )
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="where to write; a file that is there is not overwritten",
    )
    parser.add_argument(
        "account", nargs="?", metavar="ACCOUNT", help="its name or id (default: the first one)"
    )
    parser.add_argument(
        "--question", default=SMALL_QUESTION, help=f"what to ask (default: {SMALL_QUESTION})"
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="gemini-auto",
        help="a model's id or alias (default: Auto)",
    )
    parser.add_argument(
        "--with-text", action="store_true", help="keep the texts of question and answer"
    )
    environment.add_env_file(parser)
    parser.set_defaults(run=_capture)


def _capture(options: argparse.Namespace) -> int:
    settings = environment.settings(environment.environ(options))
    if options.file.exists():
        raise CannotBegin(f"{options.file} is there already")
    from gbproxy.bootstrap import recorded
    from gbproxy.cli import capturing, embedded
    from gbproxy.cli.steps import Steps
    from gbproxy.domain.models import Catalogue
    from gbproxy.domain.redaction import Redactor
    from gbproxy.upstreams.widget.credential import credential_of

    model = Catalogue(settings.default_model, settings.models).get(options.model)
    with without_log(), embedded.opened(settings) as services:
        services.registry.sync()  # with the stored accounts
        account = chosen(services.pool.accounts(), options.account)
        redactor = Redactor(
            credential_of(account).private(),
            with_text=options.with_text,
            phrases=settings.status_lines,
        )
        with recorded(services) as upstream:
            steps = list(Steps(upstream, account, model, options.question).run())
            lines = capturing.lines(
                upstream.outbound.exchanges, redactor, account, with_text=options.with_text
            )
            _write(options.file, "".join(f"{line}\n" for line in lines))
    return _report(options.file, steps)


def chosen(accounts: Sequence[Account], wanted: str | None) -> Account:
    """The account of this name or id, or the first one. Raises CannotBegin."""
    found = [account for account in accounts if wanted in (None, account.id, account.name)]
    if not found:
        raise CannotBegin(
            f"there is no account {wanted!r}"
            if wanted
            else "there is no account: set one, or add it"
        )
    return found[0]


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from error


def _report(file: Path, steps: Sequence[Step]) -> int:
    failed = [step for step in steps if step.error is not None]
    exchanges = sum(len(step.exchanges) for step in steps)
    say(f"{file}: {exchanges} exchanges. Look through it before you hand it on.")
    for step in failed:
        say(f"{step.name}: {step.error}")
    return 1 if failed else 0
