"""The Gemini Business widget API: sign-in, sessions, the streamed answer. Source:
docs/upstream.md.
"""
