"""A server on real sockets that can misbehave: cut, pause, reset, break framing, speak TLS.

Knows HTTP and nothing of any service: what it sends are the `actions` that it is given.
"""
