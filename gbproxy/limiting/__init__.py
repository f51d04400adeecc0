"""How much a caller may ask for: requests in a time, tokens in a day, streams at once, time between
two requests.
"""

from gbproxy.limiting.limiter import Limiter, Rules
from gbproxy.limiting.standing import Standing, Tokens
from gbproxy.limiting.use import Use

__all__ = ["Limiter", "Rules", "Standing", "Tokens", "Use"]
