"""What runs between requests.

Every worker runs a loop twice a second: it writes its heartbeat and pulls what the other workers
have learnt. One of them, the leader, also does what is to be done once for all; when it goes,
another takes over within seconds.
"""
