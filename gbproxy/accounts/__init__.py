"""The accounts as one: which of them a request is lent, what each failure teaches, and what a request may still try."""

from gbproxy.accounts.attempts import Attempts, Next
from gbproxy.accounts.pool import Order, Pool
from gbproxy.accounts.states import AccountView, Alone, Board, Scope, Standing

__all__ = ["AccountView", "Alone", "Attempts", "Board", "Next", "Order", "Pool", "Scope", "Standing"]
