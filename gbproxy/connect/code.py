"""Programs of one's own: curl, and the official libraries, which read their variables."""

from __future__ import annotations

from gbproxy.connect.program import Code, Program, Way
from gbproxy.connect.program import translatable as _

_OPENAI = {"OPENAI_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "{key}"}

_CURL = Program(
    "curl",
    "curl",
    (
        Way(
            format="chat",
            base="{url}/v1",
            path="/chat/completions",
            variables=_OPENAI,
            code=Code(
                "sh",
                """\
curl -sS "$OPENAI_BASE_URL/chat/completions" \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H 'Content-Type: application/json' \\
  -d '{"model": "{model}", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
""",
            ),
        ),
        Way(
            format="anthropic",
            base="{url}/v1",
            path="/messages",
            variables=_OPENAI,
            code=Code(
                "sh",
                """\
curl -sS "$OPENAI_BASE_URL/messages" \\
  -H "x-api-key: $OPENAI_API_KEY" -H 'anthropic-version: 2023-06-01' \\
  -H 'Content-Type: application/json' \\
  -d '{"model": "{model}", "max_tokens": 1024,
       "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'
""",
            ),
        ),
        Way(
            format="gemini",
            base="{url}/v1",
            path="beta/models/{model}:streamGenerateContent",
            variables=_OPENAI,
            code=Code(
                "sh",
                """\
curl -sS -N "${OPENAI_BASE_URL%/v1}/v1beta/models/{model}:streamGenerateContent?alt=sse" \\
  -H "x-goog-api-key: $OPENAI_API_KEY" -H 'Content-Type: application/json' \\
  -d '{"contents": [{"parts": [{"text": "Why is the sky blue?"}]}]}'
""",
            ),
        ),
    ),
)

_PYTHON_OPENAI = Program(
    "python-openai",
    "Python: openai",
    (
        Way(
            format="chat",
            base="{url}/v1",
            path="/chat/completions",
            variables=_OPENAI,
            code=Code(
                "python",
                """\
from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
answer = client.chat.completions.create(
    model="{model}",
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
)
print(answer.choices[0].message.content)
""",
                "pip install openai",
            ),
        ),
        Way(
            format="responses",
            base="{url}/v1",
            path="/responses",
            variables=_OPENAI,
            code=Code(
                "python",
                """\
from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
print(client.responses.create(model="{model}", input="Why is the sky blue?").output_text)
""",
                "pip install openai",
            ),
        ),
    ),
)

_PYTHON_ANTHROPIC = Program(
    "python-anthropic",
    "Python: anthropic",
    (
        Way(
            format="anthropic",
            base="{url}",
            path="/v1/messages",
            variables={"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_AUTH_TOKEN": "{key}"},
            code=Code(
                "python",
                """\
from anthropic import Anthropic

client = Anthropic()  # reads ANTHROPIC_BASE_URL and ANTHROPIC_AUTH_TOKEN
message = client.messages.create(
    model="{model}",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
)
print("".join(block.text for block in message.content if block.type == "text"))
""",
                "pip install anthropic",
            ),
            notes=(_("It adds /v1 by itself."),),
        ),
    ),
)

_PYTHON_GENAI = Program(
    "python-google-genai",
    "Python: google-genai",
    (
        Way(
            format="gemini",
            base="{url}",
            path="/v1/models/{model}:generateContent",
            variables={"GOOGLE_GEMINI_BASE_URL": "{url}", "GEMINI_API_KEY": "{key}"},
            code=Code(
                "python",
                """\
from google import genai

client = genai.Client()  # reads GOOGLE_GEMINI_BASE_URL and GEMINI_API_KEY
print(client.models.generate_content(model="{model}", contents="Why is the sky blue?").text)
""",
                "pip install google-genai",
            ),
            notes=(_("The address stands without /v1 or /v1beta: it adds them by itself."),),
        ),
    ),
)

_NODE_OPENAI = Program(
    "node-openai",
    "Node.js: openai",
    (
        Way(
            format="chat",
            base="{url}/v1",
            path="/chat/completions",
            variables=_OPENAI,
            code=Code(
                "javascript",
                """\
import OpenAI from "openai";

const client = new OpenAI(); // reads OPENAI_BASE_URL and OPENAI_API_KEY
const answer = await client.chat.completions.create({
  model: "{model}",
  messages: [{ role: "user", content: "Why is the sky blue?" }],
});
console.log(answer.choices[0].message.content);
""",
                "npm install openai",
            ),
        ),
    ),
)

CODE = (_CURL, _PYTHON_OPENAI, _PYTHON_ANTHROPIC, _PYTHON_GENAI, _NODE_OPENAI)
