"""Parameters that this gateway does not know, by name, for `x-gbproxy-ignored`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any

# What is not of this form may be no name at all, and has no place in a header.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MOST = 20  # a body may have 100,000


def named(body: Mapping[str, Any], known: AbstractSet[str], place: str = "") -> list[str]:
    """The names, without their values, of what a body holds beside what is `known`; null is what
    was not sent. `place` is put before each: `generationConfig.`
    """
    if body.keys() <= known:  # as nearly always
        return []
    unknown = islice((name for name in body if name not in known), _MOST)
    return [place + name for name in unknown if body[name] is not None and _NAME.fullmatch(name)]
