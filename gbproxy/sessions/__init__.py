"""Upstream sessions: prewarmed ones for new conversations, and the cleanup of those that nobody
continues.
"""
