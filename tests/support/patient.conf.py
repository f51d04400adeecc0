"""The gateway's own configuration, with a database that has as much time as it takes: one on a busy
machine is not to be taken for one that is away.
"""

exec(open("gunicorn.conf.py").read())  # noqa: SIM115  gunicorn reads its configuration in this way too

from gbproxy.storage.database import Database  # noqa: E402

Database.__init__.__kwdefaults__["request_timeout_s"] = 20.0
