"""Structured output for an upstream that has none: the model is told to answer in JSON, and only
the JSON is read out of its text, as it is written, without the fences and the words around it.

`expectation` says how the JSON may begin, `start` finds where it does, `scanner` follows it to its
end and mends small mistakes on the way, `reader` puts these together, `checks` compares it
with what was asked for, `wording` speaks to the model, and `emulation` makes a stage of them.
"""
