"""The switches of all services: one record, the values worth trying, and their text form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gbproxy.simulator.widget import switches as widget


@dataclass(frozen=True)
class Switches(widget.WidgetSwitches):
    """The behaviour in force: one base class for each service that has switches of its own.

    Raises ValueError for an unknown name or value.
    """


# A further service adds its groups to these.
GROUPS = widget.GROUPS

SPECS: dict[str, dataclasses.Field[Any]] = {
    spec.name: spec for group in GROUPS for spec in dataclasses.fields(group)
}

SWITCH_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {name: tuple(spec.metadata["values"]) for name, spec in SPECS.items()}
)
"""Every switch with the values worth trying, the default first."""

MAIN_FLOW_VALUES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        name: tuple(v for v in values if v not in SPECS[name].metadata["breaks"])
        for name, values in SWITCH_VALUES.items()
    }
)
"""SWITCH_VALUES without those under which no client can succeed."""

# The first switch of each group -> the group's heading.
_HEADINGS = {
    dataclasses.fields(group)[0].name: " ".join(str(group.__doc__).split()) for group in GROUPS
}


def parse_setting(setting: str) -> tuple[str, object]:
    """Read `NAME=VALUE` as typed on a command line. Raises ValueError."""
    name, equals, text = setting.partition("=")
    if not equals or name not in SPECS:
        raise ValueError(f"expected NAME=VALUE with the name of a switch, not {setting!r}")
    default: Any = SPECS[name].default
    if isinstance(default, bool):
        known = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}
        if text.lower() not in known:
            raise ValueError(f"{name} is on or off, not {text!r}")
        return name, known[text.lower()]
    if isinstance(default, tuple):
        return name, tuple(part.strip() for part in text.split(",") if part.strip())
    return name, type(default)(text)


def describe() -> str:
    """A paragraph for each switch, by group: its values, default, fact, and how sure that is."""
    lines: list[str] = []
    for name, spec in SPECS.items():
        if name in _HEADINGS:
            lines.append(f"\n# {_HEADINGS[name]}\n" if lines else f"# {_HEADINGS[name]}\n")
        values = "any, e.g. " if spec.metadata["open_ended"] else ""
        values += " | ".join(_shown(value) for value in spec.metadata["values"])
        lines.append(f"{name} = {_shown(spec.default)}\n    values: {values}")
        lines.append(f"    {spec.metadata['fact']} ({spec.metadata['certainty']})")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(value) if isinstance(value, tuple) else str(value)
