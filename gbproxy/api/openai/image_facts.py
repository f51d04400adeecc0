"""What is known of a picture that a model has made, in the words of OpenAI's API."""

from __future__ import annotations

from gbproxy.domain import picture_header
from gbproxy.domain.events import FileOutput


def of(file: FileOutput) -> dict[str, str]:
    """`output_format`, and where its bytes are there and tell it, `size`."""
    header = None if file.data is None else picture_header.read(file.data)
    if header is None:
        return {"output_format": file.mime_type.partition("/")[2]}
    return {"size": f"{header.width}x{header.height}", "output_format": header.format}
