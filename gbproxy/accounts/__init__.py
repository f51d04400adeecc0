"""The pool: which account a request gets, what each failure says about it, and what may still be
tried.
"""
