"""The uncertain facts about the widget service, as switches.

Every field says which fact of docs/upstream.md it stands for and how sure that fact is. A client
should work with every value; those under which it cannot succeed (a dead credential) are listed as
`breaks`. `gbproxy simulate --list-switches` prints them all.
"""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import FramingSwitches
from gbproxy.simulator.widget.switches.credentials import CredentialSwitches, GateSwitches
from gbproxy.simulator.widget.switches.sessions import FileSwitches, SessionSwitches
from gbproxy.simulator.widget.switches.stream import (
    ConfigurationSwitches,
    ElementSwitches,
    MannerSwitches,
    QuestionSwitches,
)

GROUPS = (
    CredentialSwitches,
    GateSwitches,
    SessionSwitches,
    FileSwitches,
    ConfigurationSwitches,
    QuestionSwitches,
    FramingSwitches,
    ElementSwitches,
    MannerSwitches,
)
"""In the order in which they are listed."""


@dataclass(frozen=True)
class WidgetSwitches(
    ElementSwitches,
    MannerSwitches,
    FramingSwitches,
    QuestionSwitches,
    ConfigurationSwitches,
    FileSwitches,
    SessionSwitches,
    GateSwitches,
    CredentialSwitches,
):
    """All groups as one flat record."""
