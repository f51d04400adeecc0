"""Client API keys: the verifier on each request's path, and the registry that administrators
use.
"""
