"""Loads the settings that hold for all workers: what is made once for each start (a key, a
temporary database) is made in the arbiter.

What is made is put into the environment, where it survives a reload: a reload runs
`gbproxy/gunicorn_conf.py` again, in a process whose environment is still the same.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gevent import monkey

from gbproxy.domain.catalogue import built_in_names
from gbproxy.domain.principal import fingerprint, new_key
from gbproxy.observability import logging as json_logging
from gbproxy.observability import multiprocess
from gbproxy.server import preflight
from gbproxy.settings import Settings, SettingsError
from gbproxy.settings import load as load_settings
from gbproxy.settings.network import outlives_the_process

if TYPE_CHECKING:
    from gbproxy.storage.prepare import CannotBeUsed

log = logging.getLogger(__name__)

_EXIT_BAD_SETTINGS = 2
_EXIT_DATABASE_AWAY = os.EX_TEMPFAIL  # whoever supervises us is to try again

_TEMPORARY = "GBPROXY_TEMPORARY_DATABASE"  # ours: "<process id> <its directory>"

_in_force: list[Settings] = []  # what the last start or reload of this process has read


def load(
    environ: MutableMapping[str, str] | None = None, *, arguments: Sequence[str] | None = None
) -> Settings:
    """The settings, with logging configured and at least one client key.

    `arguments`: gunicorn's, when it starts with these settings, so that the address has to be free.
    Mistakes end the process with status 2 at its start, a database that is away with 75; at a
    reload they are logged and what was in force stays.
    """
    if not _in_force:
        check = _settings if arguments is None else partial(preflight.check, arguments=arguments)
        _in_force.append(_load(environ, check))
        return _in_force[0]
    try:
        _in_force[:] = [_load(environ, _settings)]
    except SystemExit:
        log.error(
            "settings.refused", extra={"reason": "see stderr; the settings before stay in force"}
        )
    return _in_force[0]


def _load(
    environ: MutableMapping[str, str] | None, check: Callable[[Mapping[str, str]], Settings]
) -> Settings:
    environ = os.environ if environ is None else environ
    _require_patching(environ)
    settings = _read(environ, check)
    json_logging.configure(settings.log_level, settings.log_format)
    _share_metrics(environ)
    if not settings.api_keys:
        _make_key(environ)
    if _needs_database(settings, environ):
        _make_database(settings, environ)
    settings = _read(environ)
    settings = settings.model_copy(update={"database_is_temporary": _TEMPORARY in environ})
    url = settings.database_address
    _prepare_database(url, settings.encryption_keys, settings)
    if not settings.can_limit_keys:
        _refuse_limited_keys(url, settings.web_concurrency)
    return settings


def check_workers(settings: Settings, workers: int) -> None:
    """End a start with status 2 when gunicorn was told another number of workers than the settings:
    each would count limits alone.
    """
    if workers != settings.web_concurrency:
        _refuse(
            f"WEB_CONCURRENCY: is {settings.web_concurrency}, but gunicorn was told to start"
            f" {workers} workers: set it, and leave out --workers"
        )


def log_startup(settings: Settings) -> None:
    """Log the start once, and settings that have no effect or a doubtful one."""
    if settings.ignored:
        log.warning("setting.ignored", extra={"names": list(settings.ignored)})
    if hosts := [webhook.host for webhook in settings.alert_webhooks if webhook.is_unencrypted]:
        log.warning("webhook.unencrypted", extra={"hosts": hosts})
    log.info(
        "server.started",
        extra={
            "host": settings.host,
            "port": settings.port,
            "workers": settings.web_concurrency,
            "accounts": len(settings.accounts),
        },
    )


def _require_patching(environ: Mapping[str, str]) -> None:
    """End a start under gunicorn whose sockets are not patched by gevent: one waiting request would
    stop the whole worker.
    """
    if environ.get("SERVER_SOFTWARE", "").startswith("gunicorn") and not monkey.is_module_patched(
        "socket"
    ):
        _refuse("gbproxy must be started with its own configuration: gunicorn -c gunicorn.conf.py")


def _settings(environ: Mapping[str, str]) -> Settings:
    return load_settings(environ, built_in_names())


def _read(
    environ: Mapping[str, str], check: Callable[[Mapping[str, str]], Settings] = _settings
) -> Settings:
    """The settings as they stand. Mistakes are printed, all at once, and end the process with
    status 2.
    """
    try:
        return check(environ)
    except SettingsError as error:
        _refuse(f"The settings cannot be used:\n{error}")


def _make_key(environ: MutableMapping[str, str]) -> None:
    key = new_key()
    environ["API_KEYS"] = key
    for empty in ("API_KEYS_FILE", "API_KEY_FILE"):  # a file without a key in it is no key given
        environ.pop(empty, None)
    # Never through logging: logs are shipped.
    print(f"API_KEYS is not set. The key for this start: {key}", file=sys.stderr, flush=True)  # noqa: T201
    log.warning("api_key.generated", extra={"fingerprint": fingerprint(key)})


def _share_metrics(environ: MutableMapping[str, str]) -> None:
    """Name the directory in which all workers count. Also while /metrics is off: a reload may turn
    it on, and prometheus_client reads the variable once.
    """
    given = environ.get(multiprocess.VARIABLE)
    if given and multiprocess.is_own(Path(given)):
        return
    folder = multiprocess.create()
    atexit.register(multiprocess.remove, folder, os.getpid())
    environ[multiprocess.VARIABLE] = str(folder)


def _needs_database(settings: Settings, environ: MutableMapping[str, str]) -> bool:
    """True when no database is set that outlives the process, and this process has made none
    yet.
    """
    url = settings.database_address
    maker, _, folder = environ.get(_TEMPORARY, "").partition(" ")
    if folder and f"{folder}/" in url:
        return maker != str(os.getpid())  # inherited: gone as soon as its maker is
    environ.pop(_TEMPORARY, None)
    return not outlives_the_process(url)


def _make_database(settings: Settings, environ: MutableMapping[str, str]) -> None:
    from gbproxy.storage import temporary

    folder = temporary.new_folder()
    atexit.register(temporary.remove, folder, os.getpid())
    environ["DATABASE_URL"] = temporary.url_in(folder)
    environ[_TEMPORARY] = f"{os.getpid()} {folder}"
    environ.pop("DATABASE_URL_FILE", None)
    if not settings.secret_keys:
        environ["SECRET_KEY"] = secrets.token_urlsafe(32)
        environ.pop("SECRET_KEY_FILE", None)


_prepared: set[tuple[str, ...]] = set()  # addresses and keys; a reload finds the same tables


def _prepare_database(url: str, secret_keys: Sequence[str], settings: Settings) -> None:
    """Migrate the database. One that cannot be used ends the process with status 2, one that is
    away with 75.
    """
    from gbproxy.storage import prepare as preparation

    if (url, *secret_keys) in _prepared:
        return
    try:
        preparation.prepare(url, secret_keys, temporary=settings.database_is_temporary)
    except preparation.CannotBeUsed as error:
        _refuse_database(error)
    _prepared.add((url, *secret_keys))


def _refuse_limited_keys(url: str, workers: int) -> None:
    """End a start with status 2 when client keys have limits that each worker would count alone."""
    from gbproxy.storage import prepare as preparation

    try:
        names = preparation.limited_keys(url)
    except preparation.CannotBeUsed as error:
        _refuse_database(error)
    if names:
        _refuse(
            f"REDIS_URL: is needed, where {workers} workers (WEB_CONCURRENCY) count together: "
            f"these client keys have limits: {', '.join(names)}"
        )


def _refuse_database(error: CannotBeUsed) -> NoReturn:
    status = _EXIT_DATABASE_AWAY if error.may_pass else _EXIT_BAD_SETTINGS
    _refuse(f"The database cannot be used:\n{error}", status)


def _refuse(message: str, status: int = _EXIT_BAD_SETTINGS) -> NoReturn:
    """End the start with this status. For the terminal, as there may be no log yet."""
    print(message, file=sys.stderr)  # noqa: T201
    raise SystemExit(status)
