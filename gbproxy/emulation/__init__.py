"""Emulates capabilities that an upstream lacks: by prompt on the way down, by reading the answer on
the way up.
"""
