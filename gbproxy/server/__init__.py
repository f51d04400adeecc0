"""gunicorn's side: the worker, the log, the start and the stop. Used by gunicorn_conf.py.

At SIGTERM the arbiter first lets readiness fail for DRAIN_DELAY_S, so that a load balancer
looks elsewhere; then the workers take nothing new and let running answers finish; those that still
run shortly before GRACEFUL_TIMEOUT_S are ended with an error that says why, before gunicorn would
cut them.
"""
