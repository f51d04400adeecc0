"""Bytes of a streamed answer -> JSON elements: a streamed JSON array, or an event stream."""
