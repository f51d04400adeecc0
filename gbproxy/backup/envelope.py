"""The file of a backup: a line of JSON in the clear, which says how it is encrypted, then the
content.

Version 1: scrypt (RFC 7914) makes 64 bytes of the passphrase. The first 32 are the key of
AES-256-GCM, which encrypts the content and authenticates the first line, byte by byte; the digest
of the others, `check`, tells a wrong passphrase from an altered file. The second line is the
encrypted content in base64; the first one says how many bytes those are.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

FORMAT = "gbproxy-backup"
VERSION = 1

_SALT_BYTES, _NONCE_BYTES, _TAG_BYTES, _KEY_BYTES = 16, 12, 16, 32
_MAX_HEADER_BYTES = 4096
# A file may name others, but none that would take a machine's memory.
_MAX_MEMORY_BYTES = 1024**3
_MAX_R, _MAX_P = 32, 16


class BackupError(Exception):
    """A backup cannot be made, read or imported; the message is for its user and has no secret."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The parameters of scrypt: 128 MiB and some 0.3 s by default, as OWASP advises."""

    n: int = 2**17
    r: int = 8
    p: int = 1

    def is_sane(self) -> bool:
        return (
            self.n >= 2
            and self.n & (self.n - 1) == 0
            and 1 <= self.r <= _MAX_R
            and 1 <= self.p <= _MAX_P
            and 128 * self.n * self.r <= _MAX_MEMORY_BYTES
        )


DEFAULT_COST = Cost()


def seal(content: bytes, passphrase: str, cost: Cost = DEFAULT_COST) -> bytes:
    """The whole file. Raises BackupError when there is not enough memory for the passphrase."""
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    key, check = _derive(passphrase, salt, cost)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kdf": {"name": "scrypt", "salt": _text(salt), "n": cost.n, "r": cost.r, "p": cost.p},
        "cipher": {"name": "aes-256-gcm", "nonce": _text(nonce)},
        "check": check,
        "bytes": len(content) + _TAG_BYTES,
    }
    first = json.dumps(header).encode()
    encrypted = AESGCM(key).encrypt(nonce, content, first)
    return b"%s\n%s\n" % (first, base64.b64encode(encrypted))


def unseal(file: bytes, passphrase: str) -> bytes:
    """The content. Raises BackupError for a wrong passphrase, and for a file that is none, is cut,
    was altered, or is of a later version.
    """
    first, _, rest = file.replace(b"\r\n", b"\n").partition(b"\n")
    header = _header(first)
    try:
        kdf, cipher = header["kdf"], header["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "aes-256-gcm"):
            raise ValueError
        cost = Cost(int(kdf["n"]), int(kdf["r"]), int(kdf["p"]))
        salt, nonce = (_bytes(text) for text in (kdf["salt"], cipher["nonce"]))
        expected, told = int(header["bytes"]), str(header["check"])
        if not cost.is_sane() or len(nonce) != _NONCE_BYTES:
            raise ValueError
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BackupError("the first line of the file was altered") from None
    encrypted = _encrypted(rest, expected)
    key, check = _derive(passphrase, salt, cost)
    if not hmac.compare_digest(check.encode(), told.encode()):
        raise BackupError("the passphrase is wrong, or the first line of the file was altered")
    try:
        return AESGCM(key).decrypt(nonce, encrypted, first)
    except InvalidTag:
        raise BackupError("the passphrase is right, but the file was altered") from None


def ensure_readable(file: bytes) -> None:
    """Raise what `unseal` would without a passphrase, before anybody is asked for one."""
    _header(file.partition(b"\n")[0].rstrip(b"\r"))


def _header(first: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(first) if len(first) <= _MAX_HEADER_BYTES else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise BackupError("this is no backup of gbproxy's, or its first line was altered")
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise BackupError("the first line of the file was altered")
    if version > VERSION:
        raise BackupError(
            f"the file is of version {version}, and this gbproxy reads up to {VERSION}: import it"
            " with a newer one"
        )
    return header


def _encrypted(rest: bytes, expected: int) -> bytes:
    """The encrypted content. Raises BackupError when bytes are missing or are no base64."""
    text = b"".join(rest.split())
    if len(text) < 4 * -(-expected // 3):
        raise BackupError("the file is cut: its end is missing")
    try:
        encrypted = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        encrypted = b""
    if len(encrypted) != expected:
        raise BackupError("the file was altered")
    return encrypted


def _derive(passphrase: str, salt: bytes, cost: Cost) -> tuple[bytes, str]:
    """The key, and the check."""
    # The same letters, whichever way a keyboard writes their accents.
    normal = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogateescape")
    try:
        scrypt = Scrypt(salt=salt, length=2 * _KEY_BYTES, n=cost.n, r=cost.r, p=cost.p)
        made = scrypt.derive(normal)
    except MemoryError:
        needed = 128 * cost.n * cost.r // 1024**2
        raise BackupError(
            f"there is not enough memory for the passphrase: it takes {needed} MiB"
        ) from None
    return made[:_KEY_BYTES], hashlib.sha256(made[_KEY_BYTES:]).hexdigest()


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
