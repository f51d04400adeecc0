"""Accounts for tests, with made-up credentials."""

from __future__ import annotations

from typing import Any

from gbproxy.domain.account import WIDGET, Account
from gbproxy.simulator import Simulator
from gbproxy.upstreams.widget.credential import WidgetCredential


def widget_account(
    id: str = "one",  # noqa: A002  as the field is called
    name: str = "",
    csesidx: str = "1",
    config_id: str = "c",
    secure_c_ses: str = "CSE.secret",
    host_c_oses: str | None = None,
    **further: Any,
) -> Account:
    """An account of the widget, called like its id unless it has a name."""
    values = {"csesidx": csesidx, "config_id": config_id, "secure_c_ses": secure_c_ses}
    credential = WidgetCredential(**values, host_c_oses=host_c_oses, **further)
    return Account(id, name or id, WIDGET, credential)


def simulated_account(upstream: Simulator, **further: Any) -> Account:
    """The gateway's view of the simulator's first account."""
    known = upstream.account
    return widget_account(
        "one",
        "one",
        known.csesidx,
        known.config_id,
        known.secure_c_ses,
        known.host_c_oses,
        **further,
    )
