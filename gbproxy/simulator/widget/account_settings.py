"""Accounts as the settings of a gateway name them, and accounts made up for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gbproxy.simulator.widget.accounts import Account
from gbproxy.simulator.widget.editions import EDITIONS, LOCATIONS, edition_of, location_of
from gbproxy.simulator.widget.gates import BROWSER
from gbproxy.simulator.widget.switches import WidgetSwitches


def make_account(number: int, **values: Any) -> Account:
    """The `number`-th account; what is not given is made up, always the same.

    Raises ValueError for an edition or location that does not exist.
    """
    if number:
        made_up = {
            "csesidx": str(1234567890 + number),
            "secure_c_ses": f"CSE.Ad{number}Lk3xVb9QmZr7TtYw2HnPq5Js",
            "host_c_oses": f"COS.Af{number}Wm4RzKx8LdTn6VbYp2GqHs",
            "config_id": f"11111111-2222-4333-8444-{555555555555 + number}",
            "project_number": str(123456789012 + number),
        }
        values = {**made_up, **values}
    account = Account(**values)
    if account.edition not in (None, *EDITIONS) or account.location not in (None, *LOCATIONS):
        raise ValueError(f"no such edition or location: {account.edition}, {account.location}")
    return account


def environment(account: Account, url: str, ca_file: Path | None) -> dict[str, str]:
    """The environment variables with which a gateway uses this account at `url`."""
    values = {
        "GEMINI_BUSINESS_URL": url,
        "API_BASE_URL": f"{url}/v1alpha",
        "SECURE_C_SES": account.secure_c_ses,
        "HOST_C_OSES": account.host_c_oses,
        "CSESIDX": account.csesidx,
        "CONFIG_ID": account.config_id,
    }
    return values | ({"CA_BUNDLE": str(ca_file)} if ca_file else {})


def environment_by_name(account: Account, url: str, ca_file: Path | None) -> dict[str, str]:
    """As `environment`, but for the upstream's own host names, with `url` as the proxy.

    Raises ValueError without TLS.
    """
    if ca_file is None:
        raise ValueError("the upstream's own names need TLS")
    values = environment(account, url, ca_file)
    ours = {name: value for name, value in values.items() if not name.endswith("_URL")}
    return ours | {"PROXY": url.replace("https:", "http:", 1)}


def described(account: Account, switches: WidgetSwitches) -> dict[str, str]:
    """The account as `ACCOUNTS` takes it, with all that its gates may want."""
    return {
        "secure_c_ses": account.secure_c_ses,
        "host_c_oses": account.host_c_oses,
        "csesidx": account.csesidx,
        "config_id": account.config_id,
        "edition": edition_of(account, switches).name,
        "location": location_of(account, switches),
        "cookies": "; ".join(f"{name}={value}" for name, value in account.cookies.items()),
        "server_token": account.server_token,
        "user_agent": BROWSER,
    }
