"""Elements of a streamAssist answer -> events, and Google's errors -> ours. Source:
docs/upstream.md, elements, errors.
"""
