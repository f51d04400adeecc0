"""Encryption at rest: Fernet under keys derived from SECRET_KEY. The first key encrypts, all of
them decrypt.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_CONTEXT = b"gbproxy storage"  # other uses of SECRET_KEY have contexts of their own


class Unreadable(Exception):
    """None of the keys has encrypted this, or it was changed since."""


class Cipher:
    """Encrypts values, each as JSON, for the database."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        """`secret_keys`: at least one; the first is the one in use, the others are earlier ones."""
        self._all = MultiFernet([_fernet(key) for key in secret_keys])
        self._first = _fernet(secret_keys[0])

    def encrypt(self, value: object) -> bytes:
        return self._first.encrypt(json.dumps(value, ensure_ascii=False).encode())

    def decrypt(self, encrypted: bytes) -> Any:
        """The value. Raises Unreadable."""
        try:
            return json.loads(self._all.decrypt(encrypted))
        except InvalidToken:
            raise Unreadable from None

    def is_by_first_key(self, encrypted: bytes) -> bool:
        try:
            self._first.decrypt(encrypted)
        except InvalidToken:
            return False
        return True

    def renew(self, encrypted: bytes) -> bytes:
        """The same value, encrypted by the first key. Raises Unreadable."""
        try:
            return self._all.rotate(encrypted)
        except InvalidToken:
            raise Unreadable from None


def _fernet(secret_key: str) -> Fernet:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_CONTEXT).derive(
        secret_key.encode()
    )
    return Fernet(base64.urlsafe_b64encode(derived))
