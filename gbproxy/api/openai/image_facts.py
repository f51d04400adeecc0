"""What is known of a picture that a model has made, in the words of OpenAI's API, or of one that it
has not made.
"""

from __future__ import annotations

from gbproxy.domain import picture_header
from gbproxy.domain.events import FileOutput
from gbproxy.errors import UpstreamError

_MOST_SAID_CHARS = 300


def of(file: FileOutput) -> dict[str, str]:
    """`output_format`, and where its bytes are there and tell it, `size`."""
    header = None if file.data is None else picture_header.read(file.data)
    if header is None:
        return {"output_format": file.mime_type.partition("/")[2].removesuffix("+xml")}
    return {"size": f"{header.width}x{header.height}", "output_format": header.format}


def missing(said: str) -> UpstreamError:
    """The error of an answer without the picture that it was to be, with what the model has said
    instead.
    """
    words = " ".join(said.split())[:_MOST_SAID_CHARS]
    told = f"; it said: {words}" if words else ""
    return UpstreamError(f"the model has made no image{told}")
