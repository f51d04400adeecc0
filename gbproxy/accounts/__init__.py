"""The pool: which account a request is lent, what each failure says about it, and what may still be
tried.
"""
