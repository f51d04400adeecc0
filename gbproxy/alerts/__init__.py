"""Alerts: tell operators by webhooks what they must look after, and that it is over.

The leader compares what is so now with what was told, which stands in the database, so that each
change is told once by all workers and replicas together. While the database is away each worker
watches for itself (`outage.py`).
"""
