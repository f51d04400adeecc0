"""`gbproxy export` and `gbproxy import`: the stored accounts and client keys as one encrypted file,
on the database of DATABASE_URL.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gbproxy.cli import backup_files
from gbproxy.cli.databases import Change, is_prepared, opened, prepare, tell
from gbproxy.cli.environment import (
    add_env_file,
    environ,
    has_lasting_database,
    load_settings,
)
from gbproxy.cli.terminal import (
    CannotBegin,
    CommandError,
    echo,
    echo_json,
    listing,
    print_error,
    printable,
    without_log,
)

if TYPE_CHECKING:
    from gbproxy.backup.restore import Item, Plan
    from gbproxy.settings import Settings
    from gbproxy.storage.backup import BackupRows, BackupStore
    from gbproxy.storage.database import Database

_NO_DATABASE = (
    "DATABASE_URL names no database that outlives the process, so nothing is stored that a backup"
    " could keep"
)
_RESULTS = {
    "new": ("added", "would be added"),
    "changed": ("changed", "would be changed"),
    "same": ("as it was", "as it was"),
    "environment": ("left out: it stands in the environment",) * 2,
    "conflict": ("cannot be added",) * 2,
}
_KEPT = "differs, and was left as it is"


def define_export(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Write the accounts and the client keys of the database of DATABASE_URL into a file that is"
        " encrypted under a passphrase. Accounts of the environment, API_KEYS, conversations and"
        " uploaded files are not in it. Client keys are in it as digests only; with those they stay"
        " valid wherever it is imported, under any SECRET_KEY."
    )
    parser.add_argument("file", metavar="FILE", help="a new file, or - for standard output")
    _add_options(parser)
    parser.set_defaults(run=_export)


def define_import(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Add the accounts and client keys of a backup to the database of DATABASE_URL, all in one"
        " transaction. What is there and differs is left as it is, unless --replace is given; what"
        " is not in the backup is never touched. Gateways on the database take it over within a"
        " second."
    )
    parser.add_argument("file", metavar="FILE", help="a backup, or - for standard input")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and change nothing"
    )
    parser.add_argument(
        "--replace", action="store_true", help="take the backup's values where they differ"
    )
    parser.add_argument("--json", action="store_true", help="say it in JSON")
    _add_options(parser)
    parser.set_defaults(run=_import)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-fd",
        type=int,
        metavar="N",
        help="read the passphrase from this file descriptor"
        f" (else {backup_files.VARIABLE}, else it is asked)",
    )
    add_env_file(parser)


def _export(options: argparse.Namespace) -> int:
    from gbproxy.backup import content, envelope, restore

    given = environ(options)
    settings = _settings(given)
    if not is_prepared(settings):
        raise CommandError("DATABASE_URL: there is nothing in this database yet")
    if options.file != "-" and Path(options.file).exists():
        raise CannotBegin(f"there is a file {printable(options.file)} already: give another name")
    passphrase = backup_files.passphrase(options.passphrase_fd, given, is_new=True)
    with without_log(), opened(settings) as database:
        rows, unreadable = restore.exported(_store(database, settings).read())
        backup_files.write_file(options.file, envelope.seal(content.write(rows), passphrase))
        counts = {"accounts": len(rows.accounts), "keys": len(rows.keys)}
        tell(database, [("backup.exported", None, counts)])
    where = "standard output" if options.file == "-" else printable(options.file)
    print_error(
        f"Wrote {_count(len(rows.accounts), 'account')} and"
        f" {_count(len(rows.keys), 'client key')} to {where}."
    )
    if settings.accounts:
        print_error(f"Not in it: {_count(len(settings.accounts), 'account')} of the environment.")
    for name in unreadable:
        print_error(f"Not in it: {printable(name)}, which no key of SECRET_KEY can decrypt.")
    return 1 if unreadable else 0


def _import(options: argparse.Namespace) -> int:
    from gbproxy.backup import content, envelope
    from gbproxy.backup.envelope import BackupError

    given = environ(options)
    settings = _settings(given)
    file = backup_files.read_file(options.file)
    try:
        envelope.ensure_readable(file)
        passphrase = backup_files.passphrase(options.passphrase_fd, given, is_new=False)
        rows = content.read(envelope.unseal(file, passphrase))
        plan = _imported(rows, settings, options)
    except BackupError as error:
        raise CommandError(str(error)) from error
    _show(plan, options)
    if plan.limited and not settings.can_limit_keys:
        print_error(
            "Keys with limits need REDIS_URL, where the several workers (WEB_CONCURRENCY) count"
            f" together; these have some: {printable(', '.join(plan.limited))}."
        )
    is_left = bool(plan.changed) and not options.replace
    return 1 if plan.conflicts or is_left else 0


def _imported(rows: BackupRows, settings: Settings, options: argparse.Namespace) -> Plan:
    """Write what the options say. Returns what the backup adds and changes; raises BackupError."""
    from gbproxy.account_admin.account_input import account_of
    from gbproxy.backup.restore import plan
    from gbproxy.domain.account import WIDGET
    from gbproxy.storage.backup import BackupRows
    from gbproxy.storage.database import UniqueViolation
    from gbproxy.upstreams.widget.credential import WidgetCredential

    environment = [account_of(each, each.name) for each in settings.accounts]
    readers = {WIDGET: WidgetCredential.from_json}
    plans: list[Plan] = []

    def choose(here: BackupRows) -> BackupRows:
        made = plan(rows, here, environment, readers, replace_changed=options.replace)
        plans.append(made)
        return BackupRows() if made.conflicts else made.rows

    if options.dry_run:
        if is_prepared(settings):
            with without_log(), opened(settings) as database:
                choose(_store(database, settings).read())
        else:
            choose(BackupRows())
        return plans[-1]
    prepare(settings)
    try:
        with without_log(), opened(settings) as database:
            _store(database, settings).write(choose)
            if not plans[-1].conflicts:
                tell(database, _changes(plans[-1], replaced=options.replace))
    except UniqueViolation:
        raise CommandError(
            "accounts were changed while the backup was compared with them; nothing was imported:"
            " try again"
        ) from None
    return plans[-1]


def _show(plan: Plan, options: argparse.Namespace) -> None:
    is_done = not options.dry_run and not plan.conflicts
    if options.json:
        items = [
            {
                "kind": item.kind,
                "id": item.id,
                "name": item.name,
                "result": item.result,
                "differs": list(item.differs),
                "reason": item.reason,
            }
            for item in plan.items
        ]
        echo_json({"imported": is_done, "replaced": is_done and options.replace, "items": items})
        return
    rows = [_line(item, options, is_done=is_done) for item in plan.items]
    echo(listing(("kind", "name", "id", "result", "differs"), rows) or "The backup is empty.")
    if plan.conflicts:
        echo("Nothing was imported, as not all of it can be.")
    elif options.dry_run:
        echo("Nothing was changed.")
    if plan.changed and not options.replace:
        echo("With --replace what differs becomes as it is in the backup.")


def _line(item: Item, options: argparse.Namespace, *, is_done: bool) -> Mapping[str, Any]:
    done, would = _RESULTS[item.result]
    result = done if is_done else would
    if item.result == "changed" and not options.replace:
        result = _KEPT if is_done else "differs, and would be left as it is"
    if item.reason:
        result = f"{result}: {item.reason}"
    return {
        "kind": item.kind, "name": item.name, "id": item.id, "result": result,
        "differs": item.differs or None,
    }  # fmt: skip


def _settings(given: Mapping[str, str]) -> Settings:
    if not has_lasting_database(given):
        raise CannotBegin(_NO_DATABASE)
    return load_settings(given)


def _changes(plan: Plan, *, replaced: bool) -> Iterator[Change]:
    for item in plan.items:
        if item.result == "new":
            done = "account.added" if item.kind == "account" else "key.created"
            yield done, item.id, {"name": item.name, "way": "import"}
        elif item.result == "changed" and replaced:
            details = {"name": item.name, "fields": list(item.differs), "way": "import"}
            yield f"{item.kind}.changed", item.id, details


def _store(database: Database, settings: Settings) -> BackupStore:
    from gbproxy.storage.backup import BackupStore
    from gbproxy.storage.encryption import Cipher

    return BackupStore(database, Cipher(settings.encryption_keys))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
