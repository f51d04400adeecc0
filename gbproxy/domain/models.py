"""The model catalogue: the names that clients may use, their upstream names and fallbacks, and what
an account's live configuration offers of them.

Source: docs/upstream.md, models over time; live configuration. The widget takes a `modelId`, or
none for its own choice ("Auto"), and a set of tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

from gbproxy.domain.account import WIDGET, QuotaClass
from gbproxy.errors import ModelNotFound

Tool = Literal["webGroundingSpec", "toolRegistry", "imageGenerationSpec", "videoGenerationSpec"]

ALL_TOOLS: tuple[Tool, ...] = (
    "webGroundingSpec",
    "toolRegistry",
    "imageGenerationSpec",
    "videoGenerationSpec",
)

_DRAWS_ON: Mapping[Tool, QuotaClass] = {
    "imageGenerationSpec": "images",
    "videoGenerationSpec": "videos",
}

# What a suffix of a name leaves of the model's tools, as in `gemini-auto-search`.
_SUFFIXES: Mapping[str, Tool] = {
    "search": "webGroundingSpec",
    "image": "imageGenerationSpec",
    "video": "videoGenerationSpec",
}
# Also as other vendors write it: `gpt-4o-search-preview`, `gpt-5-search-api`.
_SUFFIX = re.compile(r"(?P<stem>.+)-(?P<suffix>search|image|video)(?:-(?:preview|api)\b.*)?")

# Names of other vendors' models, which many clients are unable to change.
_FOREIGN_MEDIA = (
    (re.compile(r"gpt-image-|chatgpt-image-|dall-e-|imagen-"), "gemini-imagen"),
    (re.compile(r"veo-"), "gemini-veo"),
)
_FOREIGN = re.compile(r"gpt-|o1|o3|o4|claude-|chatgpt-|codex-")
# What may be the name of a model that is newer than this catalogue: the upstream is asked.
_GUESS = re.compile(r"gemini-[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Model:
    """`names`: the upstreams that serve it, each with what the model is called there; None is that
    upstream's own choice. `fallback`: the id to use when the upstream has retired this one.
    """

    id: str
    names: Mapping[str, str | None] = field(hash=False)
    tools: tuple[Tool, ...] = ALL_TOOLS
    quota: QuotaClass = "text"
    aliases: tuple[str, ...] = ()
    fallback: str | None = None

    def is_served_by(self, upstream: str) -> bool:
        return upstream in self.names

    def name_at(self, upstream: str) -> str | None:
        """Its name at an upstream that serves it, or None for the upstream's own choice."""
        return self.names[upstream]

    @property
    def essential_tools(self) -> frozenset[Tool]:
        """The tools that the model cannot do without: those of its own quota, or its only one."""
        own = {tool for tool in self.tools if _DRAWS_ON.get(tool) == self.quota}
        return frozenset(own or (self.tools if len(self.tools) == 1 else ()))

    @property
    def makes_media(self) -> bool:
        """True if the model answers with pictures or videos rather than text."""
        return self.quota != "text" or (
            bool(self.tools) and all(tool in _DRAWS_ON for tool in self.tools)
        )

    def without(self, cooling: Collection[QuotaClass]) -> Model:
        """The same model without the tools of these quotas, except those of its own quota."""
        spared = {quota for quota in cooling if quota != self.quota}
        return self.with_tools(tool for tool in self.tools if _DRAWS_ON.get(tool) not in spared)

    def without_tools(self, unwanted: Collection[Tool]) -> Model:
        """The same model without these tools, except its essential ones."""
        return self.with_tools(
            tool for tool in self.tools if tool not in unwanted or tool in self.essential_tools
        )

    def narrowed_to(self, tool: Tool) -> Model:
        """The same model with this tool alone, and on its quota; unchanged if it lacks the tool."""
        if tool not in self.tools:
            return self
        return replace(self, tools=(tool,), quota=_DRAWS_ON.get(tool, "text"))

    def with_tools(self, tools: Iterable[Tool]) -> Model:
        kept = tuple(tools)
        return self if kept == self.tools else replace(self, tools=kept)


@dataclass(frozen=True, slots=True)
class AccountCapabilities:
    """Models and tools that an account's live configuration names; a field that it omits is empty.

    `listed`: upstream ids to choose from, in order, without those of `automatic`, which stand for
    the upstream's own choice.
    """

    listed: tuple[str, ...] = ()
    disabled: frozenset[str] = frozenset()
    automatic: frozenset[str] = frozenset()
    tools_on: frozenset[Tool] = frozenset()
    tools_off: frozenset[Tool] = frozenset()

    def to_json(self) -> dict[str, list[str]]:
        return {name: list(getattr(self, name)) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Read what `to_json` of any version has written; unknown values are ignored."""
        texts = {
            name: [text for text in each if isinstance(text, str)]
            for name, each in value.items()
            if isinstance(each, list)
        }
        tools = {
            name: frozenset(tool for tool in ALL_TOOLS if tool in texts.get(name, ()))
            for name in ("tools_on", "tools_off")
        }
        return cls(
            tuple(texts.get("listed", ())),
            frozenset(texts.get("disabled", ())),
            frozenset(texts.get("automatic", ())),
            tools["tools_on"],
            tools["tools_off"],
        )


NOTHING_SAID = AccountCapabilities()

AUTOMATIC = "gemini-auto"
"""The id of the upstream's own choice, which cannot be retired."""

IMAGES = "gemini-imagen"
"""The model of requests for images that name none."""

_FLASH, _FLASH_LITE, _PRO = "gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview"


def _model(id_: str, fallback: str | None = None, *aliases: str) -> Model:
    return Model(id_, {WIDGET: id_}, aliases=aliases, fallback=fallback)


BUILT_IN: tuple[Model, ...] = (
    Model(AUTOMATIC, {WIDGET: None}, aliases=("gemini-business",)),
    _model(_FLASH, None, "gemini-flash-latest"),
    _model(_PRO, None, "gemini-pro-latest"),
    _model("gemini-3.7-flash", _FLASH),
    _model("gemini-3.6-flash", _FLASH),
    _model("gemini-3.5-flash", _FLASH),
    _model(_FLASH_LITE, _FLASH, "gemini-flash-lite-latest"),
    _model("gemini-3-flash-preview", _FLASH),
    _model("gemini-3-pro-preview", _PRO),
    _model("gemini-2.5-pro", _PRO),
    _model("gemini-2.5-flash", _FLASH),
    _model("gemini-2.5-flash-lite", _FLASH_LITE),
    # The upstream's own choice, with one tool.
    Model(IMAGES, {WIDGET: None}, ("imageGenerationSpec",), "images", ("nano-banana",)),
    Model("gemini-veo", {WIDGET: None}, ("videoGenerationSpec",), "videos"),
)


def built_in_names() -> frozenset[str]:
    """Every id and alias of the built-in catalogue."""
    return frozenset(name for model in BUILT_IN for name in (model.id, *model.aliases))


Lookup = Callable[[str], Model | None]


class Catalogue:
    """The models that a client may name, by id and by alias."""

    def __init__(self, default: str = AUTOMATIC, configured: Collection[Model] = ()) -> None:
        """`configured`: in place of the built-in models of the same id, or beside them."""
        self._models: dict[str, Model] = {model.id: model for model in (*BUILT_IN, *configured)}
        self._names: Mapping[str, Model] = {
            **{alias: model for model in self._models.values() for alias in model.aliases},
            **self._models,
        }
        self._default = self._names[default]

    @property
    def default(self) -> Model:
        """The model of a request that names none."""
        return self._default

    def all(self) -> tuple[Model, ...]:
        return tuple(self._models.values())

    def find(self, name: str) -> Model | None:
        """The model of an id or alias."""
        return self._names.get(name.removeprefix("models/"))

    def get(self, name: str) -> Model:
        """The model of an id or alias. Raises ModelNotFound."""
        model = self.find(name)
        if model is None:
            raise no_such(name)
        return model

    def resolve(self, name: str | None, listed: Lookup = lambda name: None) -> Model:
        """The model that answers a request for `name`. `listed`: finds models beside the catalogue.

        No name and other vendors' names get the default; unknown `gemini-…` names are passed on, as
        the upstream may have them; a suffix such as `-search` or `-image` narrows the model's
        tools. Raises ModelNotFound.
        """
        if not name:
            return self._default
        found = self.find(name) or listed(name) or self.with_suffix(name, listed)
        if found is not None:
            return found
        for pattern, id_ in _FOREIGN_MEDIA:
            if pattern.match(name):
                return self._names[id_]
        stem, tool = _split(name)
        if _FOREIGN.match(name):
            model = self._default
        else:
            # `-image` is part of upstream ids too, `-search` of none.
            id_ = (name if tool == "imageGenerationSpec" else stem).removeprefix("models/")
            if not _GUESS.fullmatch(id_):
                raise no_such(name)
            model = Model(id_, {WIDGET: id_})
        return model.narrowed_to(tool) if tool else model

    def with_suffix(self, name: str, listed: Lookup = lambda name: None) -> Model | None:
        """The model of a known name with a suffix; None for others. Raises ModelNotFound when it
        lacks the tool that the suffix wants.
        """
        stem, tool = _split(name)
        model = (self.find(stem) or listed(stem)) if tool else None
        if tool is None or model is None:
            return None
        if tool not in model.tools:
            raise no_such(name)
        return model.narrowed_to(tool)

    def has(self, model: Model) -> bool:
        """True for a model of the catalogue, False for one that `resolve` made from its name."""
        return model.id in self._models

    def chain(
        self, model: Model, may_use: Callable[[str], bool] = lambda model_id: True
    ) -> tuple[Model, ...]:
        """The model, then its fallbacks in order, to be asked for when it is refused; the last is
        the upstream's own choice.

        Only those that `may_use` allows, and with no tool that the model does not have. A model for
        pictures or videos does not fall back to the upstream's choice, which answers in text.
        """
        found = {model.id: model}
        following = self._names.get(model.fallback) if model.fallback else None
        if following is None and not self.has(model):
            following = self._default
        while following is not None and following.id not in found:
            found[following.id] = following
            following = self._names.get(following.fallback) if following.fallback else None
        if not model.makes_media:
            found.setdefault(AUTOMATIC, self._models[AUTOMATIC])
        allowed = (each for each in found.values() if each is not model and may_use(each.id))
        return (
            model,
            *(
                each.with_tools(tool for tool in each.tools if tool in model.tools)
                for each in allowed
            ),
        )


def _split(name: str) -> tuple[str, Tool | None]:
    """A name without its suffix, and the tool to which that narrows; None without a suffix."""
    split = _SUFFIX.fullmatch(name)
    return (split["stem"], _SUFFIXES[split["suffix"]]) if split else (name, None)


def no_such(name: str) -> ModelNotFound:
    """The error for a name that does not exist, or that the API key may not use."""
    return ModelNotFound(f"the model {name[:100]!r} does not exist", param="model")
