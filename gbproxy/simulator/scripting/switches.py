"""One uncertain fact of docs/upstream.md as a field: its values, how sure it is, and what no client
survives.
"""

from __future__ import annotations

import re
from dataclasses import Field, field
from typing import Any

CERTAINTIES = ("certain", "one family", "one source", "inferred", "unknown")


def switch(
    *values: object,
    fact: str,
    certainty: str,
    breaks: tuple[object, ...] = (),
    open_ended: bool = False,
    pattern: str = "",
) -> Any:
    """A dataclass field whose default is the first of `values`; open-ended ones take any value of
    that type.

    `breaks` are the values under which no client can succeed. Raises ValueError for an unknown
    certainty.
    """
    if certainty not in CERTAINTIES:
        raise ValueError(f"unknown certainty: {certainty}")
    metadata = {
        "values": values,
        "fact": fact,
        "certainty": certainty,
        "breaks": breaks,
        "open_ended": open_ended,
        "pattern": pattern,
    }
    return field(default=values[0], metadata=metadata)


def check(spec: Field[Any], value: object) -> None:
    """Raise ValueError unless the switch can have this value."""
    if type(value) is not type(spec.default):
        kind = type(spec.default).__name__
        raise ValueError(f"{spec.name} takes a {kind}, not {value!r}")
    if spec.metadata["pattern"]:
        if not re.fullmatch(spec.metadata["pattern"], str(value)):
            raise ValueError(f"{spec.name} cannot be {value!r}")
    elif not spec.metadata["open_ended"] and value not in spec.metadata["values"]:
        known = ", ".join(map(str, spec.metadata["values"]))
        raise ValueError(f"{spec.name} is one of {known}, not {value!r}")
