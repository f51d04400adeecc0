"""Events -> events: what an answer must still become before a format encodes it, composed for each
request.
"""
