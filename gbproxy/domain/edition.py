"""The product editions that speak the widget protocol: where each lives, and whom its tokens name.

Source: docs/upstream.md, editions and hosts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

EditionName = Literal["business", "enterprise"]
Location = Literal["global", "us", "eu"]
"""Where an app's data lives: a part of each widget call's path."""


@dataclass(frozen=True, slots=True)
class Edition:
    """`page_url` is the origin of the page and of the sign-in, and the tokens' `iss`; `api_origin`
    is their `aud`.
    """

    name: EditionName
    page_url: str
    api_origin: str

    @property
    def api_base_url(self) -> str:
        return f"{self.api_origin}/v1alpha"


EDITIONS: Mapping[EditionName, Edition] = {
    edition.name: edition
    for edition in (
        Edition(
            "business",
            "https://business.gemini.google",
            "https://biz-discoveryengine.googleapis.com",
        ),
        Edition(
            "enterprise",
            "https://vertexaisearch.cloud.google",
            "https://content-discoveryengine.googleapis.com",
        ),
    )
}
