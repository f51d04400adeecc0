"""The service that the simulator plays: Gemini Business, as its pages and its widget API have it.

`service` says which request is answered by what. Source: docs/upstream.md.
"""
