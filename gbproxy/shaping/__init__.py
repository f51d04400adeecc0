"""Stages between the gateway's events and a format's encoder, composed for each request: thoughts,
stop sequences, token limit, counting.
"""
