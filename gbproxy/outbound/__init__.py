"""The one way to other people's HTTP: timeouts, proxy, TLS, errors.

requests checks what is sent, and its `HTTPAdapter` finds the connections, which urllib3 opens and
pools. There is no `requests.Session`: it would carry cookies from one account to another, follow
redirects and read proxies and netrc from the environment. Here none of that can happen.
"""

from gbproxy.outbound.client import MAX_BODY_BYTES, HttpClient, Reply, StreamedReply
from gbproxy.outbound.timeouts import Timeouts, calls_end_at

__all__ = ["MAX_BODY_BYTES", "HttpClient", "Reply", "StreamedReply", "Timeouts", "calls_end_at"]
