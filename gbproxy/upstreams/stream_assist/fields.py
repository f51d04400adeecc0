"""A field of the upstream's JSON, if it is of the kind that is wanted; anything else counts as
missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What a log, a database or a terminal may choke on. Halves of surrogate pairs are none: decoding
# has replaced them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def as_mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_line(value: object, max_chars: int) -> str:
    """The text, without control characters, and cut."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", as_text(value)[:max_chars])
