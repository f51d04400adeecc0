"""`python -m gbproxy`."""

import sys

from gbproxy.cli import main

sys.exit(main())
