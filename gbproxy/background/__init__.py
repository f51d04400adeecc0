"""Background work between requests.

Every worker runs a loop twice a second: it writes its heartbeat and pulls the other workers'
changes. One of them, the leader, also runs the tasks that are due once for all; when it ends,
another takes over within seconds.
"""
