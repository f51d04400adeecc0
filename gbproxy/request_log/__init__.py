"""The request log: who asked which model when, and how it went, never what was said. Its recorder
is on every request's path; all else is read by administrators.
"""
