"""How gunicorn serves the bare recipe."""

worker_class = "gevent"
worker_connections = 2000
backlog = 4096
keepalive = 75
