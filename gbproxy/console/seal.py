"""Values that a browser keeps for the console and can neither read nor change."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, Literal

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

Purpose = Literal["session", "notice", "draft"]

_CONTEXT = b"gbproxy console"  # other uses of SECRET_KEY have contexts of their own


class Seal:
    """Signs and encrypts values under keys of their own for this use.

    `secret_keys`: at least one; the first seals, all of them open. `admin_key`: with another one,
    nothing that was sealed before opens.
    """

    def __init__(self, secret_keys: Sequence[str], admin_key: str) -> None:
        self._fernet = MultiFernet([_fernet(key, admin_key) for key in secret_keys])

    def close(self, purpose: Purpose, value: object) -> str:
        return self._fernet.encrypt(json.dumps([purpose, value]).encode()).decode()

    def open(self, purpose: Purpose, sealed: str) -> Any | None:
        """The value; None for what was not sealed here, or for another purpose."""
        try:
            found, value = json.loads(self._fernet.decrypt(sealed.encode()))
        except InvalidToken:
            return None
        return value if found == purpose else None


def _fernet(secret_key: str, admin_key: str) -> Fernet:
    derivation = HKDF(hashes.SHA256(), 32, salt=admin_key.encode(), info=_CONTEXT)
    return Fernet(base64.urlsafe_b64encode(derivation.derive(secret_key.encode())))
