"""Function calling for an upstream that has none: the model is told how to write a call, and the
calls are read out of its text.

A call is written like this; the mark holds a nonce of the conversation, and only it opens a call:

    ⟦call 1f3a9c2e⟧
    ```json
    {"name":"write_file","arguments":{"path":"notes.md","content":"@1"}}
    ```
    ````@1
    a long text, as it is
    ````

`instruction` and `wire` write, `mark`, `gate`, `blocks`, `assembly` (with `mending` and `foreign`)
and `reader` read, `verdict` says what becomes of an answer that is not as it was asked for, and
`emulation` makes a stage of them.
"""
