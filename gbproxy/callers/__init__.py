"""Client keys: which there are, in each worker, and how administrators make and revoke them."""

from gbproxy.callers.keyring import Keyring
from gbproxy.callers.register import KeyRegister

__all__ = ["KeyRegister", "Keyring"]
