"""The form that a client asks of an answer: any JSON object, or JSON that holds to a schema.

Source: https://platform.openai.com/docs/api-reference/chat/create, response_format. Plain text is
the absence of a ResponseFormat.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """`schema`: a JSON schema; None: any JSON object. `name` and `description` say to the model
    what it is for.

    `strict` changes nothing of what a client gets: an answer that does not hold to the schema is
    never handed out.
    """

    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    name: str = ""
    description: str = ""
    strict: bool = False

    def digest(self) -> bytes:
        """32 bytes that differ when the model has to be told something else."""
        told = [self.name, self.description, self.schema]
        return sha256(json.dumps(told, sort_keys=True).encode()).digest()


JSON_OBJECT = ResponseFormat()
