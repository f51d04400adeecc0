"""Links to files: each is a sealed token, which nobody can make, change or read without SECRET_KEY.

A token names the file and its session, the API key that it was made for, and its end. Sealed by
AES-GCM under keys derived from SECRET_KEY: the first seals, all of them open.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gbproxy.storage.encryption import derived_key

_CONTEXT = b"gbproxy media links"  # other uses of SECRET_KEY have contexts of their own
_NONCE_BYTES = 12
_DIGEST_BYTES = 32
_HEAD = struct.Struct(f">I{_DIGEST_BYTES}s")  # the end in Unix seconds, and the key's digest
_BETWEEN = "\x00"
_MAX_TOKEN_CHARS = 1024
# A client may write anything into its Host header.
_BASE_URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]+")


class NoLink(Exception):
    """The token was not made here, was changed, or has expired."""


@dataclass(frozen=True, slots=True)
class MediaLink:
    """`session_id`: of the session's record; `file_id`: the upstream's; `key_digest`: of the API
    key whose request made the file; `expires_at`: Unix seconds.
    """

    session_id: str
    file_id: str
    key_digest: bytes = field(repr=False)
    expires_at: int


class MediaLinks:
    """Makes and opens links; safe for use by many threads at once. `clock`: Unix seconds."""

    def __init__(
        self,
        secret_keys: Sequence[str],
        ttl_s: float,
        public_url: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secret_keys`: at least one, the one in use first. `public_url`: the base of all links;
        None: each request has its own.
        """
        self._seals = [AESGCM(derived_key(key, _CONTEXT)) for key in secret_keys]
        self._ttl_s = ttl_s
        self._public_url = public_url
        self._clock = clock

    def make(self, session_id: str, file_id: str, key_digest: bytes) -> MediaLink:
        """A link that is valid from now on, for as long as links are."""
        return MediaLink(session_id, file_id, key_digest, int(self._clock() + self._ttl_s))

    def url(self, link: MediaLink, base_url: str) -> str | None:
        """The address of a link. `base_url`: where the client says that it has reached the gateway;
        None where no address can begin so, and the settings name none.
        """
        if not self.can_begin(base_url):
            return None
        return f"{(self._public_url or base_url).rstrip('/')}/media/{self._seal(link)}"

    def can_begin(self, base_url: str) -> bool:
        """True if links can be made for a request that has come in at this address."""
        return self._public_url is not None or bool(_BASE_URL.fullmatch(base_url))

    def open(self, token: str) -> MediaLink:
        """The link of a token. Raises NoLink."""
        link = _parsed(self._unsealed(token))
        if link.expires_at <= self._clock():
            raise NoLink
        return link

    def _seal(self, link: MediaLink) -> str:
        head = _HEAD.pack(link.expires_at, link.key_digest)
        names = _BETWEEN.join((link.session_id, link.file_id)).encode()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._seals[0].encrypt(nonce, head + names, None)
        return _written(sealed)

    def _unsealed(self, token: str) -> bytes:
        if len(token) > _MAX_TOKEN_CHARS or not token.isascii():
            raise NoLink
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
        except binascii.Error:
            raise NoLink from None
        nonce, box = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        # The last character has bits that stand for nothing.
        if len(nonce) < _NONCE_BYTES or _written(sealed) != token:
            raise NoLink
        for seal in self._seals:
            try:
                return seal.decrypt(nonce, box, None)
            except InvalidTag:
                continue
        raise NoLink


def _written(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _parsed(opened: bytes) -> MediaLink:
    expires_at, key_digest = _HEAD.unpack_from(opened)
    session_id, _, file_id = opened[_HEAD.size :].decode().partition(_BETWEEN)
    return MediaLink(session_id, file_id, key_digest, expires_at)
