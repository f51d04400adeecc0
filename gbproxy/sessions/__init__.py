"""Upstream sessions: prewarmed ones for new conversations, and the cleanup of those that nobody
continues.

A session that is over is marked for deletion in its record; one worker, the leader, reaps what is
marked (`cleanup.run_due`) and retries what failed. A session without a record is reaped by the
worker that has it (`cleanup.delete_unrecorded`).
"""
