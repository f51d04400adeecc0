"""OpenAI's API: chat completions and models. Source:
https://platform.openai.com/docs/api-reference
"""
