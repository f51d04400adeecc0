"""What is not certain about the upstream, as switches: one value of each is in force at a time.

Every field says which fact of docs/upstream.md it stands for and how sure that fact is. A client
should work with every value; those under which it cannot succeed (a dead credential) are listed as
`breaks`. `gbproxy simulate --list-switches` prints them all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gbproxy.simulator.scripting.switches import check
from gbproxy.simulator.widget.switches.configuration import ConfigurationSwitches
from gbproxy.simulator.widget.switches.credentials import CredentialSwitches
from gbproxy.simulator.widget.switches.elements import ElementSwitches
from gbproxy.simulator.widget.switches.files import FileSwitches
from gbproxy.simulator.widget.switches.framing import FramingSwitches
from gbproxy.simulator.widget.switches.gates import GateSwitches
from gbproxy.simulator.widget.switches.questions import (
    LIVING_MODELS,
    RETIRED_MODELS,
    QuestionSwitches,
)
from gbproxy.simulator.widget.switches.sessions import SessionSwitches

__all__ = [
    "GROUPS",
    "LIVING_MODELS",
    "MAIN_FLOW_VALUES",
    "RETIRED_MODELS",
    "SPECS",
    "SWITCH_VALUES",
    "Switches",
]

GROUPS = (
    CredentialSwitches,
    GateSwitches,
    SessionSwitches,
    FileSwitches,
    ConfigurationSwitches,
    QuestionSwitches,
    FramingSwitches,
    ElementSwitches,
)


@dataclass(frozen=True)
class Switches(
    ElementSwitches,
    FramingSwitches,
    QuestionSwitches,
    ConfigurationSwitches,
    FileSwitches,
    SessionSwitches,
    GateSwitches,
    CredentialSwitches,
):
    """The behaviour in force: all groups of switches as one flat record. Raises ValueError for an
    unknown name or value.
    """

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            check(spec, getattr(self, spec.name))

    def changed(self, **changes: object) -> Switches:
        """A copy with other values. Raises ValueError for an unknown name or value."""
        for name, value in changes.items():
            spec = SPECS.get(name)
            if spec is None:
                raise ValueError(f"no switch is called {name!r}")
            if isinstance(value, list):
                changes[name] = tuple(value)
            elif isinstance(spec.default, float) and type(value) is int:
                changes[name] = float(value)
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]  # checked above


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
