"""The benchmark: what gbproxy costs, next to others that do the same work on the same machine in
the same run.
"""
