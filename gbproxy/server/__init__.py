"""What gunicorn needs of us: its worker, its log, and how it stops. Used by gunicorn.conf.py.

At SIGTERM the arbiter first lets readiness fail for DRAIN_DELAY_S, so that a load balancer
looks elsewhere; then the workers take nothing new and let running answers finish; what is left when
GRACEFUL_TIMEOUT_S is over is ended by us, with an error that says why, before gunicorn would cut
it.
"""
