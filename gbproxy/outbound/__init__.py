"""The one way to other people's HTTP: timeouts, proxy, TLS, errors.

Requests go straight through `HTTPAdapter`, without a `requests.Session`: a session would carry
cookies from one account to another, follow redirects and read proxies and netrc from the
environment. Here none of that can happen.
"""

from gbproxy.outbound.client import MAX_BODY_BYTES, HttpClient, Reply, StreamedReply
from gbproxy.outbound.timeouts import Timeouts, calls_end_at

__all__ = ["MAX_BODY_BYTES", "HttpClient", "Reply", "StreamedReply", "Timeouts", "calls_end_at"]
