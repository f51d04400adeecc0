"""Files: that clients upload, that they link to, and that the model makes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gbproxy.accounts.pool import Pool
from gbproxy.api_keys.verifier import KeyVerifier
from gbproxy.bootstrap.foundation import Foundation
from gbproxy.domain.principal import CONSOLE
from gbproxy.gateway.answer_files import MediaOut
from gbproxy.gateway.files import FileTransfer
from gbproxy.gateway.side_by_side import Spawn
from gbproxy.media.files import LinkedFiles
from gbproxy.media.links import MediaLinks
from gbproxy.media.uploads import Uploads
from gbproxy.outbound.attachments import fetched
from gbproxy.outbound.configured import make_fetcher
from gbproxy.outbound.fetch import FileFetcher
from gbproxy.settings import Settings
from gbproxy.upstreams.registry import Upstreams

_MOST_LINKED_FILES = 3  # of one request, if they are as large as MAX_FILE_MB


@dataclass(frozen=True, slots=True)
class FileParts:
    uploads: Uploads
    transfer: FileTransfer
    media_out: MediaOut
    linked: LinkedFiles


def make_files(
    base: Foundation,
    pool: Pool,
    upstreams: Upstreams,
    keys: KeyVerifier,
    spawn: Spawn,
    fetcher: FileFetcher | None,
) -> FileParts:
    """`fetcher`: of the files that clients link to."""
    settings, storage, most_bytes = base.settings, base.storage, base.max_file_bytes
    links = MediaLinks(
        settings.encryption_keys or [secrets.token_urlsafe(32)],
        settings.media_ttl_s,
        settings.public_url,
    )
    has_key = _has_key(settings, keys)
    uploads = Uploads(storage.files, most_bytes, has_key)
    fetch = partial(fetched, fetcher=fetcher or make_fetcher(settings), max_bytes=most_bytes)
    return FileParts(
        uploads,
        FileTransfer(
            fetch, _MOST_LINKED_FILES * most_bytes, spawn, uploads.attachment, uploads.digest
        ),
        MediaOut(links, most_bytes, spawn),
        LinkedFiles(links, storage.sessions, pool.accounts, upstreams, has_key, pool.call_failed),
    )


def _has_key(settings: Settings, keys: KeyVerifier) -> Callable[[bytes], bool]:
    """Tells which keys' files can be fetched; with an ADMIN_KEY also those of the console."""
    if settings.admin_key is None:
        return keys.has_digest
    return lambda digest: digest == CONSOLE.key_digest or keys.has_digest(digest)
