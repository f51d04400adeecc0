"""How much a caller may ask for: requests per window, tokens per day, concurrent streams, and the
least time between two requests.
"""
