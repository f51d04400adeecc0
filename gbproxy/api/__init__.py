"""What clients see: one module per format, each parses into a ChatRequest and renders the events
that come back.
"""
