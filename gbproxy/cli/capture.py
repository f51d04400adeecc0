"""`gbproxy capture`: record the upstream's answers to one account in a file without secrets.

One JSON object a line: `{"capture": 1, …}`, then for each exchange its request, the answer's head,
each piece of the body with its time in milliseconds since the first request, and how it ended.
Source: docs/upstream.md, captures.
"""

from __future__ import annotations

import argparse
import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gbproxy.cli.clients import all_accounts, open_local
from gbproxy.cli.environment import add_env_file, environ, load_settings
from gbproxy.cli.terminal import CannotBegin, CommandError, echo, without_log
from gbproxy.version import __version__

if TYPE_CHECKING:
    from gbproxy.cli.steps import Step
    from gbproxy.domain.account import Account
    from gbproxy.domain.redaction import Redactor
    from gbproxy.outbound.recording import Exchange

_QUESTION = "Say ok."
_VERSION = 1  # of the file's format


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
    parser.add_argument("--question", default=_QUESTION, help=f"what to ask (default: {_QUESTION})")
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="gemini-auto",
        help="a model's id or alias (default: Auto)",
    )
    parser.add_argument(
        "--with-text", action="store_true", help="keep the texts of question and answer"
    )
    add_env_file(parser)
    parser.set_defaults(run=_capture)


def _capture(options: argparse.Namespace) -> int:
    settings = load_settings(environ(options))
    if options.file.exists():
        raise CannotBegin(f"{options.file} is there already")
    from gbproxy.accounts.available_models import configured_models
    from gbproxy.cli.steps import Steps, choose_account, open_recorded
    from gbproxy.domain.catalogue import Catalogue
    from gbproxy.domain.redaction import Redactor
    from gbproxy.upstreams.widget.credential import credential_of

    models = configured_models(settings.models)
    model = Catalogue(settings.default_model, models).get(options.model)
    with without_log(), open_local(settings) as services:
        account = choose_account(all_accounts(services), options.account)
        redactor = Redactor(
            credential_of(account).private(),
            with_text=options.with_text,
            phrases=settings.status_lines,
        )
        with open_recorded(services) as upstream:
            steps = list(Steps(upstream, account, model, options.question).run())
            lines = capture_lines(
                upstream.outbound.exchanges, redactor, account, with_text=options.with_text
            )
            _write(options.file, "".join(f"{line}\n" for line in lines))
    return _report(options.file, steps)


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}") from error


def _report(file: Path, steps: Sequence[Step]) -> int:
    failed = [step for step in steps if step.error is not None]
    exchanges = sum(len(step.exchanges) for step in steps)
    echo(f"{file}: {exchanges} exchanges. Look through it before you hand it on.")
    for step in failed:
        echo(f"{step.name}: {step.error}")
    return 1 if failed else 0


def capture_lines(
    exchanges: Sequence[Exchange],
    redactor: Redactor,
    account: Account,
    *,
    with_text: bool,
    now: datetime | None = None,
) -> Iterator[str]:
    """The lines of a capture that was made at `now`."""
    from gbproxy.upstreams.widget.credential import credential_of

    credential = credential_of(account)
    yield json.dumps(
        {
            "capture": _VERSION,
            "gbproxy": __version__,
            "made_at": (now or datetime.now(UTC)).isoformat(timespec="seconds"),
            "edition": credential.edition,
            "location": credential.location,
            "texts": "kept" if with_text else "shapes",
        }
    )
    begun = exchanges[0].sent_at if exchanges else 0.0
    for index, exchange in enumerate(exchanges, 1):
        for at, entry in _entries(exchange, redactor):
            yield json.dumps(
                {"exchange": index, "t_ms": round(1000 * (at - begun), 1), **entry},
                ensure_ascii=False,
            )


def _entries(exchange: Exchange, redactor: Redactor) -> Iterator[tuple[float, dict[str, Any]]]:
    target = urlsplit(exchange.url)
    path = f"{target.path}?{target.query}" if target.query else target.path
    request: dict[str, Any] = {
        "method": exchange.method,
        "host": target.netloc.rpartition("@")[2],
        "path": redactor.address(path),
        "headers": _headers(exchange.headers.items(), redactor),
    }
    if exchange.body:
        request |= _text("body", redactor.body(exchange.body))
    yield exchange.sent_at, {"request": request}
    if exchange.status is not None:
        head = {"status": exchange.status, "reason": exchange.reason}
        yield exchange.answered_at, {**head, "headers": _headers(exchange.reply_headers, redactor)}
        yield from _pieces(exchange, redactor)
    end: dict[str, Any] = {
        "end": "complete" if exchange.is_complete else "broken" if exchange.error else "left"
    }
    yield exchange.ended_at, {**end, **({"error": exchange.error} if exchange.error else {})}


def _pieces(exchange: Exchange, redactor: Redactor) -> Iterator[tuple[float, dict[str, Any]]]:
    # Redacted as a whole, because a secret may stand across a cut, then cut where it was.
    body, start = redactor.body(exchange.reply_body), 0
    for at, piece in exchange.pieces:
        end = start + len(piece)
        yield at, _text("piece", body[start:end])
        start = end


def _headers(pairs: Iterable[tuple[str, str]], redactor: Redactor) -> list[tuple[str, str]]:
    return [(name, redactor.header(name, value)) for name, value in pairs]


def _text(name: str, data: bytes) -> dict[str, str]:
    """Data as text, or in Base64 where it is not UTF-8, as a cut may leave it."""
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data).decode()}
