"""Values and pure functions: requests, events, models, accounts, keys, in no client's and no
upstream's format.
"""
