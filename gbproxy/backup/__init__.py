"""Backups: the stored accounts and client keys as one file, encrypted under a passphrase, and what
an import of it changes.
"""
