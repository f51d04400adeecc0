"""A picture that the model has made, which is told when it is whole.

Source: https://platform.openai.com/docs/api-reference/responses-streaming, image_generation_call
"""

from __future__ import annotations

from gbproxy.api.openai import image_facts
from gbproxy.api.openai.responses.events import EventWriter
from gbproxy.api.openai.responses.hosted_call import HostedCall
from gbproxy.api.openai.responses.image_tool import CALL
from gbproxy.api.openai.responses.output_item import Status
from gbproxy.domain.base64_pieces import encoded
from gbproxy.domain.events import FileOutput

_FORMATS = ("png", "webp", "jpeg", "gif", "svg")


class ImageItem(HostedCall):
    """`file` has its bytes, which tell the size: what was asked for may not be what came."""

    def __init__(self, writer: EventWriter, index: int, item_id: str, file: FileOutput) -> None:
        super().__init__(writer, index, item_id, CALL, "generating", result=None)
        self._file = file

    def _finish(self, status: Status) -> bytes:
        self.item["result"] = b"".join(encoded(self._file.data or b"")).decode()
        facts = image_facts.of(self._file)
        if facts["output_format"] not in _FORMATS:
            del facts["output_format"]
        self.item |= facts
        return super()._finish(status)
