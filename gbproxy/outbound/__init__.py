"""The one way to other people's HTTP: timeouts, proxy, TLS, errors.

requests sends: a `PreparedRequest` goes through its `HTTPAdapter` to urllib3's pools, whose
connections exchange it for an answer (`urlopen` in pools.py), which comes back in requests'
`Response`. There is no `requests.Session`: it would carry cookies from one account to another,
follow redirects and read proxies and netrc from the environment. Here none of that can happen.
"""

from gbproxy.outbound.client import HttpClient
from gbproxy.outbound.reply import MAX_BODY_BYTES, Reply, StreamedReply
from gbproxy.outbound.timeouts import Timeouts, calls_end_at

__all__ = ["MAX_BODY_BYTES", "HttpClient", "Reply", "StreamedReply", "Timeouts", "calls_end_at"]
