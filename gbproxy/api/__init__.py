"""What clients see: one package for each format, over the contract in `format.py`; health and
metrics.
"""
