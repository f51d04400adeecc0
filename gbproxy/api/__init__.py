"""The API of clients: one package for each format, over the contract in `format.py`; health and
metrics.
"""
