"""OpenAI's Responses API. Source: https://platform.openai.com/docs/api-reference/responses

A request's `input` is a list of items, and so is the answer's `output`. Answers may be stored: then
their items are the history of the next request that names them.
"""
