"""Upstream sessions: prewarmed ones for new conversations, and the cleanup of those that are no
longer continued.

A session that is over is marked for deletion in its record; one worker, the leader, reaps the
marked ones (`cleanup.run_due`) and retries failures. A session without a record is reaped by the
worker that has it (`cleanup.delete_unrecorded`).
"""
