"""Limits of an API key or address: requests per window, tokens per day, concurrent streams, and the
least time between two requests for one model.
"""
