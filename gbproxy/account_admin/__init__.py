"""Accounts as administrators see them: stored, listed, changed, probed and imported."""
