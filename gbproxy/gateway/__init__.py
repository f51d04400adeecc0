"""The use case: answer a chat request on an account that can, in the session that holds its history
or a fresh one.
"""

from gbproxy.gateway.gateway import Gateway

__all__ = ["Gateway"]
