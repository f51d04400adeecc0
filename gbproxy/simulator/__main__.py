"""`python -m gbproxy.simulator` is `gbproxy simulate`."""

import sys

from gbproxy.simulator.command import main

sys.exit(main(sys.argv[1:]))
