"""What is wrong with a form, field by field, out of the error of an API that took its values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gbproxy.errors import GatewayError

_NAMED = re.compile(r"(\w+)[\w.\[\]]*: (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fault:
    """`field`: of the form; None where no field of it is at fault."""

    field: str | None
    said: str


def faults(error: GatewayError | None, fields: Mapping[str, str]) -> list[Fault]:
    """One for each `name: what` of the message, which has `; ` between them, in the form's order.

    `fields`: the form's, by their names in the API.
    """
    found: list[Fault] = []
    for part in error.message.split("; ") if error else ():
        named = _NAMED.fullmatch(part)
        if named is not None and named[1] in fields:
            found.append(Fault(fields[named[1]], named[2]))
        elif found:  # a sentence may have one too
            found[-1] = replace(found[-1], said=f"{found[-1].said}; {part}")
        else:
            param = (error.param if error else None) or ""
            found.append(Fault(fields.get(param), part.removeprefix(f"{param} ")))
    order = list(fields.values())
    return sorted(found, key=lambda fault: order.index(fault.field) if fault.field else len(order))
