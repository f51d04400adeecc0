"""The configuration of patient.conf.py, on a wall clock that a test may set: Python's, for all that runs
in the process.

Timers and the monotonic clock go on as they are, as on a machine whose clock is set. What is added
stands in CLOCK_FILE.
"""

import mmap
import os
import struct
import time

_machines = time.time
with open(os.environ["CLOCK_FILE"], "r+b") as _file:
    _ahead_s = mmap.mmap(_file.fileno(), 8)

# before anything takes it for its own
time.time = lambda: _machines() + struct.unpack("d", _ahead_s)[0]

exec(open("tests/support/patient.conf.py").read())  # noqa: SIM115  gunicorn reads its configuration in this way too
