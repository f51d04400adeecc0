"""Databases for tests: a SQLite file, a real PostgreSQL server that the tests start and stop
themselves, a pooler before it.

The server's binaries come out of the package `pgserver`, or from the system (`/usr/lib/postgresql`,
PATH). PostgreSQL refuses to run as root: then it runs as another user. Each process of pytest-xdist
has a server of its own.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from sqlalchemy import make_url, text

from gbproxy.domain.account import WIDGET
from gbproxy.storage.accounts import StoredAccounts
from gbproxy.storage.database import Database
from gbproxy.storage.encryption import Cipher
from gbproxy.upstreams.widget.credential import WidgetCredential
from tests.support.polling import until

CIPHER = Cipher(["the secret key of these tests"])
# The time limit of calls for whom a server that is late on a busy machine is not one that is away.
PATIENT_S = 10.0
Open = Callable[..., Database]  # makes one that is closed at the end of the test
ROOT = Path(__file__).resolve().parents[2]

# Whatever a session of the server may keep from one of its users to the next. The pooler itself
# tells it each one's name.
LEFT_BEHIND = text(
    "SELECT name || ' = ' || setting FROM pg_settings WHERE source = 'session' AND name <>"
    " 'application_name' UNION ALL SELECT 'prepared: ' || statement FROM pg_prepared_statements"
    " UNION ALL SELECT 'lock: ' || objid FROM pg_locks WHERE locktype = 'advisory' UNION ALL SELECT"
    " 'listens: ' || pg_listening_channels() UNION ALL SELECT 'table: ' || relname FROM pg_class"
    " WHERE relpersistence = 't'"
)

_START_S = 30.0
_STOP_S = 10.0
_USERS = ("postgres", "nobody")  # who runs the server where we are root


def stored_accounts(
    database: Database, cipher: Cipher, clock: Callable[[], float]
) -> StoredAccounts:
    """As the gateway makes it."""
    return StoredAccounts(database, cipher, clock, {WIDGET: WidgetCredential.from_json})


class PostgreSQL:
    """A server on a Unix socket in a directory of its own, without network and without fsync."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        # short: a socket's path may have 107 characters
        self._folder = Path(tempfile.mkdtemp(prefix="gbproxy-pg-"))
        self.user = _other_user() if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if self.user:
            os.chown(self._folder, self.user.pw_uid, self.user.pw_gid)
        self._check(
            "initdb",
            "-D",
            str(self._folder / "data"),
            "-U",
            "gbproxy",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        )

    def start(self) -> None:
        options = [
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_connections=60",
            "-c",
            "log_min_messages=fatal",
        ]
        command = ["postgres", "-D", str(self._folder / "data"), "-k", str(self._folder), *options]
        with open(self._folder / "log", "ab") as written:
            self._process = self.run(*command, stdout=written, stderr=written)
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        process, log = self._process, self._folder / "log"
        assert process is not None
        until(
            lambda: self._call("pg_isready", "-h", str(self._folder)) == 0,
            _START_S,
            every_s=0.05,
            hopeless=lambda: process.poll() is not None,
            message=lambda: f"PostgreSQL does not start:\n{log.read_text()[-2000:]}",
        )

    def stop(self) -> None:
        """Stop it at once, with every connection: what is committed stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(_STOP_S)
            self._process = None

    def pause(self) -> None:
        """Let the server take connections and say nothing, as one on a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def refuse_writes(self) -> None:
        """Answer what is read only, on all connections, as a primary that has become a standby."""
        self.tell("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")

    def take_writes(self) -> None:
        self.tell("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")

    def tell(self, *statements: str) -> None:
        """Have its administrator say something."""
        options = (part for statement in statements for part in ("-c", statement))
        self._check(
            "psql", "-qX", "-h", str(self._folder), "-U", "gbproxy", "-d", "postgres", *options
        )

    def new_database(self) -> str:
        """The URL of an empty database: a schema, where its user finds everything.

        A database would be hundreds of files, and those of all tests take many seconds to remove.
        """
        self._databases += 1
        name = f"test_{self._databases}"
        making = f"CREATE ROLE {name} LOGIN SUPERUSER; ALTER ROLE {name} SET search_path = {name};"
        making += f"CREATE SCHEMA AUTHORIZATION {name}"
        self.tell(making)
        return f"postgresql://{name}@/postgres?host={self._folder}"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._folder / ".s.PGSQL.5432"

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None
        children = (
            Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        )
        for pid in (self._process.pid, *map(int, children)):
            os.kill(pid, number)

    def _check(self, *command: str) -> None:
        run = self.run(*command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        said, _ = run.communicate(timeout=120)
        if run.returncode != 0:
            raise RuntimeError(f"{command[0]} failed:\n{said.decode(errors='replace')[-2000:]}")

    def _call(self, *command: str) -> int:
        return self.run(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).wait(30)

    def run(self, name: str, *arguments: str, **streams: object) -> subprocess.Popen[bytes]:
        """Start one of the server's binaries, or one with a whole path, as the server's user."""
        user = (
            {}
            if self.user is None
            else {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        )
        return subprocess.Popen(
            [str(self._binaries / name), *arguments],
            cwd=self._folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            **user,
            **streams,  # type: ignore[call-overload]
        )


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """A running server; where none can run, the test is skipped with the reason, and fails in
    CI.
    """
    server = _made()
    try:
        server.start()
        yield server
    finally:
        server.close()


class PgBouncer:
    """A pooler before a server: all clients share one of its sessions, each for a transaction at a
    time.
    """

    def __init__(self, binary: str, server: PostgreSQL) -> None:
        self._server = server
        self._folder = Path(tempfile.mkdtemp(prefix="gbproxy-pool-"))
        self._users: list[str] = []
        # its socket's name differs from the server's by its directory
        self._port = int(server.socket.suffix[1:])
        settings = {
            "listen_addr": "",
            "unix_socket_dir": self._folder,
            "listen_port": self._port,
            "auth_type": "trust",
            "auth_file": self._folder / "users",
            "pool_mode": "transaction",
            "default_pool_size": 1,
            "max_client_conn": 200,
        }
        lines = [f"[databases]\n* = host={server.socket.parent}\n[pgbouncer]"]
        (self._folder / "ini").write_text(
            "\n".join([*lines, *(f"{name} = {value}" for name, value in settings.items())])
        )
        (self._folder / "users").touch()
        if (user := server.user) is not None:
            os.chown(self._folder, user.pw_uid, user.pw_gid)
        self._log = open(self._folder / "log", "wb")  # noqa: SIM115  closed with it
        self._process = server.run(
            binary, str(self._folder / "ini"), stdout=self._log, stderr=self._log
        )
        until(
            (self._folder / self._server.socket.name).exists,
            _START_S,
            hopeless=lambda: self._process.poll() is not None,
            message=lambda: f"PgBouncer does not start:\n{self._log_tail()}",
        )

    def _log_tail(self) -> str:
        return (self._folder / "log").read_text()[-2000:]

    def new_database(self) -> str:
        """The URL of an empty database, by way of the pooler."""
        url = self._server.new_database()
        self._users.append(str(make_url(url).username))
        (self._folder / "users").write_text("".join(f'"{user}" ""\n' for user in self._users))
        self._process.send_signal(signal.SIGHUP)
        return url.replace(str(self._server.socket.parent), str(self._folder))

    def server_url(self, url: str) -> str:
        """The same database without the pooler."""
        return url.replace(str(self._folder), str(self._server.socket.parent))

    def close(self) -> None:
        self._process.kill()
        self._process.wait(_STOP_S)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def pgbouncer(server: PostgreSQL) -> Iterator[PgBouncer]:
    """A running pooler; where there is none, the test is skipped with the reason, and fails in
    CI.
    """
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        _cannot("pgbouncer was not found on PATH: make ci-deps")
    pooler = PgBouncer(binary, server)
    try:
        yield pooler
    finally:
        pooler.close()


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _made() -> PostgreSQL:
    reasons = []
    for binaries in _candidates():
        try:
            return PostgreSQL(binaries)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            reasons.append(f"{binaries}: {error}")
    _cannot(
        "PostgreSQL's binaries (initdb, postgres) cannot be run here: "
        + ("; ".join(reasons) or "none was found")
    )


def _candidates() -> Iterator[Path]:
    """Directories that hold the server's binaries, those of the package first: they are the same
    everywhere.
    """
    package = importlib.util.find_spec("pgserver")
    if package is not None and package.origin is not None:
        yield Path(package.origin).parent / "pginstall" / "bin"
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("postgres")
    if found:
        yield Path(found).resolve().parent


def _other_user() -> pwd.struct_passwd:
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in _USERS if name in known)
