"""How the files that a model makes reach the client."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaDelivery:
    """`images_in_text`, `others_in_text`: their links stand in the text too, as markdown, for
    clients that look nowhere else. `image_bytes`: images come with their bytes, at the end of the
    answer; those that are not in the text have no link then. `takes_bytes` False: there is no place
    for a file that the upstream has sent along, and so has no link.

    Whatever it says, each file is an event of its own (`FileOutput`).
    """

    images_in_text: bool = True
    others_in_text: bool = True
    image_bytes: bool = False
    takes_bytes: bool = True

    def wants_bytes(self, media_type: str) -> bool:
        return self.image_bytes and is_image(media_type)

    def is_in_text(self, media_type: str) -> bool:
        return self.images_in_text if is_image(media_type) else self.others_in_text


IN_TEXT = MediaDelivery()

IN_TEXT_ALONE = MediaDelivery(takes_bytes=False)
"""For formats that have no place for files."""

APART = MediaDelivery(images_in_text=False, others_in_text=False)
"""With links, and in no text: for formats that have a place of their own for files."""

APART_WITH_BYTES = MediaDelivery(images_in_text=False, others_in_text=False, image_bytes=True)


def is_image(media_type: str) -> bool:
    return media_type.startswith("image/")
