"""The accounts as one: which of them a request is lent, what each failure teaches, and what a
request may still try.
"""

from gbproxy.accounts.asking import RequestedModel
from gbproxy.accounts.attempts import Attempts, Next
from gbproxy.accounts.imports import Import, bring_in
from gbproxy.accounts.lending import Order
from gbproxy.accounts.offering import Offering
from gbproxy.accounts.pool import Pool
from gbproxy.accounts.records import AccountRecord, Check
from gbproxy.accounts.roster import Roster, Rows
from gbproxy.accounts.states import AccountView, Alone, Board, Scope, Standing
from gbproxy.accounts.support import Support

__all__ = [
    "AccountRecord",
    "AccountView",
    "Alone",
    "Attempts",
    "Board",
    "Check",
    "Import",
    "Next",
    "Offering",
    "Order",
    "Pool",
    "RequestedModel",
    "Roster",
    "Rows",
    "Scope",
    "Standing",
    "Support",
    "bring_in",
]
