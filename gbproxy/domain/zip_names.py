"""The names of the files in a zip, read from its list without unpacking anything.

The standard library reads such a list as a whole, however many entries a hostile one has.
Source: PKWARE's APPNOTE, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct

_END = b"PK\x05\x06"
_END_BYTES = 22
_MOST_COMMENT_BYTES = 65_535
_ENTRY = b"PK\x01\x02"
_ENTRY_BYTES = 46
_MOST_ENTRIES = 1000  # that are looked at


def of(content: bytes) -> frozenset[str]:
    """The first thousand names; none where the list is missing or broken."""
    end = content.rfind(_END, max(0, len(content) - _END_BYTES - _MOST_COMMENT_BYTES))
    if end < 0 or len(content) < end + _END_BYTES:
        return frozenset()
    (at,) = struct.unpack_from("<I", content, end + 16)
    names = set[str]()
    for _ in range(_MOST_ENTRIES):
        if not content.startswith(_ENTRY, at) or at + _ENTRY_BYTES > end:
            break
        name, extra, comment = struct.unpack_from("<HHH", content, at + 28)
        behind = at + _ENTRY_BYTES
        names.add(content[behind : behind + name].decode("utf-8", "replace"))
        at = behind + name + extra + comment
    return frozenset(names)
