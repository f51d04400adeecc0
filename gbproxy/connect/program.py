"""The parts of which a program's connection is described.

Values are templates: `{url}`, `{key}`, `{model}` and `{small}` are replaced by `filled`. Texts for
people are English, marked by `translatable`; the console has them in its other languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gbproxy.connect.endpoint import Endpoint, filled

Format = Literal["chat", "responses", "anthropic", "gemini"]
FORMATS: Mapping[Format, str] = {
    "chat": "OpenAI Chat Completions",
    "responses": "OpenAI Responses",
    "anthropic": "Anthropic Messages",
    "gemini": "Gemini API",
}
FileFormat = Literal["json", "toml", "env"]


def translatable(text: str) -> str:
    """Marks a text for the catalogues of the console."""
    return text


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a program's settings, by the name that it has there."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file of the program's own.

    `folder`: below the home directory, unless the first of `folder_variables` that is set names
    another one; each with the part below it. `names`: the first that exists is used, else the last.
    """

    format: FileFormat
    folder: str
    names: tuple[str, ...]
    contents: Mapping[str, Any]
    folder_variables: tuple[tuple[str, str], ...] = ()

    @property
    def usual_path(self) -> str:
        return f"~/{self.folder}/{self.names[-1]}"


@dataclass(frozen=True, slots=True)
class Code:
    language: Literal["sh", "python", "javascript"]
    text: str
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One format in which a program can be connected.

    `path`: where its questions arrive, and with `base`, the address that it is given, how it makes
    that: the part that the program adds. `menu`: where in the program the fields are. `variables`:
    of the environment in which it runs; `server`: they are those of the program's server, and the
    fields those of its page. `preferred`: the model that suits it best.
    """

    format: Format
    base: str
    path: str
    menu: str = ""
    fields: tuple[Field, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    server: bool = False
    files: tuple[ConfigFile, ...] = ()
    code: Code | None = None
    notes: tuple[str, ...] = ()
    preferred: str | None = None

    def given(self, template: Any, endpoint: Endpoint) -> Any:
        """A template of this way, filled."""
        return filled(template, endpoint.words(self.preferred))

    def variables_beside(self, files: tuple[ConfigFile, ...]) -> Mapping[str, str]:
        """The variables that none of these files holds."""
        held = [each for file in files for each in (file.contents, *file.contents.values())]
        return {
            name: value
            for name, value in self.variables.items()
            if not any(isinstance(each, Mapping) and each.get(name) == value for each in held)
        }


@dataclass(frozen=True, slots=True)
class Program:
    """`name`: what the command calls it; `title`: what it is called."""

    name: str
    title: str
    ways: tuple[Way, ...]

    def way(self, format_: Format) -> Way | None:
        return next((way for way in self.ways if way.format == format_), None)
