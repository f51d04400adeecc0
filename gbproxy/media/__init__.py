"""Files that the model made, on their way to clients: the links that lead to them, and the session
that each link leads into.
"""
