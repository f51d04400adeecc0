"""The work between requests: sessions kept in stock and deleted, tokens refreshed ahead, refused
accounts probed.

Every worker goes its round twice a second: it says that it is alive and takes over what the others
have learnt. One of them also does what is to be done once for all; when it goes, another takes its
place within seconds.
"""

from gbproxy.sweeper.credentials import SharedCredentials
from gbproxy.sweeper.crew import Crew
from gbproxy.sweeper.deletions import Deletions
from gbproxy.sweeper.looks import Looks
from gbproxy.sweeper.lookups import Lookups
from gbproxy.sweeper.office import Office
from gbproxy.sweeper.rounds import Sweeper
from gbproxy.sweeper.stock import SIZE as STOCK_SIZE
from gbproxy.sweeper.stock import Stock

__all__ = [
    "STOCK_SIZE",
    "Crew",
    "Deletions",
    "Looks",
    "Lookups",
    "Office",
    "SharedCredentials",
    "Stock",
    "Sweeper",
]
