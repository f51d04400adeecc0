"""What every surface needs of a request, whoever may send it: its key, and its body. Knows
Flask.
"""
