"""Values and pure functions: what is asked, what is said back, in no client's and no upstream's
format.
"""
