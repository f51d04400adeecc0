"""The model catalogue as data: which names a client may use, what each means upstream, and what
stands in for which.

Source: docs/upstream.md, models over time. The widget takes a `modelId`, or none for its own choice
("Auto"), and a set of tools.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gbproxy.domain.account import WIDGET, QuotaClass
from gbproxy.errors import ModelNotFound
from gbproxy.settings import ModelSettings

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

# Names of other vendors' models, which many clients are unable to change.
_FOREIGN = re.compile(r"gpt-|o1|o3|o4|claude-|chatgpt-|codex-")
# What may be the name of a model that is newer than this catalogue: the upstream is asked.
_GUESS = re.compile(r"gemini-[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Model:
    """`names`: the upstreams that serve it, each with what the model is called there; None is that
    upstream's own choice. `successor`: the id to use when upstream has retired this one.
    """

    id: str
    names: Mapping[str, str | None] = field(hash=False)
    tools: tuple[Tool, ...] = ALL_TOOLS
    quota: QuotaClass = "text"
    aliases: tuple[str, ...] = ()
    successor: str | None = None

    def is_served_by(self, upstream: str) -> bool:
        return upstream in self.names

    def name_at(self, upstream: str) -> str | None:
        """What an upstream that serves it calls it: an id, or None for its own choice."""
        return self.names[upstream]

    @property
    def essential_tools(self) -> frozenset[Tool]:
        """The tools that this model is there for: what draws on its quota, or the only one that it
        has.
        """
        own = {tool for tool in self.tools if _DRAWS_ON.get(tool) == self.quota}
        return frozenset(own or (self.tools if len(self.tools) == 1 else ()))

    @property
    def makes_media(self) -> bool:
        """Whether it is there for pictures or videos, so that no text would do instead."""
        return self.quota != "text" or (
            bool(self.tools) and all(tool in _DRAWS_ON for tool in self.tools)
        )

    def without(self, resting: Collection[QuotaClass]) -> Model:
        """The same model without the tools that draw on one of these quotas; its own is what it is
        there for.
        """
        spared = {quota for quota in resting if quota != self.quota}
        return self.with_tools(tool for tool in self.tools if _DRAWS_ON.get(tool) not in spared)

    def without_tools(self, unwanted: Collection[Tool]) -> Model:
        """The same model without these tools; what it is there for stays."""
        return self.with_tools(
            tool for tool in self.tools if tool not in unwanted or tool in self.essential_tools
        )

    def with_tools(self, tools: Iterable[Tool]) -> Model:
        kept = tuple(tools)
        return self if kept == self.tools else replace(self, tools=kept)


AUTOMATIC = "gemini-auto"
"""The id of the upstream's own choice: the only one that cannot be retired."""

_FLASH, _FLASH_LITE, _PRO = "gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview"


def _model(id_: str, successor: str | None = None, *aliases: str) -> Model:
    return Model(id_, {WIDGET: id_}, aliases=aliases, successor=successor)


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
)


def built_in_names() -> frozenset[str]:
    """Every id and alias of the built-in catalogue."""
    return frozenset(name for model in BUILT_IN for name in (model.id, *model.aliases))


class Catalogue:
    """The built-in models with the user's `MODELS` merged in by id."""

    def __init__(
        self,
        default: str = AUTOMATIC,
        changes: Collection[ModelSettings] = (),
        further: Collection[Model] = (),
    ) -> None:
        """`further`: models of other upstreams, in place of built-in ones of the same id."""
        self._models: dict[str, Model] = {model.id: model for model in (*BUILT_IN, *further)}
        for change in changes:
            self._models[change.id] = _merged(self._models.get(change.id), change)
        self._names: Mapping[str, Model] = {
            **{alias: model for model in self._models.values() for alias in model.aliases},
            **self._models,
        }
        self._default = self._names[default]

    @property
    def default(self) -> Model:
        """What answers a request without a model."""
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

    def resolve(self, name: str | None) -> Model:
        """The model that answers a request for `name`: also for no name, for other vendors' and for
        unknown `gemini-…` names.

        Of the last nobody knows whether the upstream has them. Raises ModelNotFound.
        """
        if not name:
            return self._default
        if name not in self._names and _FOREIGN.match(name):
            return self._default
        model = self.find(name)
        if model is None:
            id_ = name.removeprefix("models/")
            if not _GUESS.fullmatch(id_):
                raise no_such(name)
            model = Model(id_, {WIDGET: id_})
        return model

    def has(self, model: Model) -> bool:
        """Whether this model stands in the catalogue, or else is a name that somebody has sent."""
        return model.id in self._models

    def chain(
        self, model: Model, may_use: Callable[[str], bool] = lambda model_id: True
    ) -> tuple[Model, ...]:
        """The model, and what is asked for in its place when it is refused: successor after
        successor, at last automatic.

        Only what `may_use` allows, with no tool that the model does not have. No text stands in for
        pictures and videos.
        """
        found = [model]
        following = self._names.get(model.successor) if model.successor else None
        if following is None and not self.has(model):
            following = self._default
        while following is not None and following not in found:
            found.append(following)
            following = self._names.get(following.successor) if following.successor else None
        automatic = self._models[AUTOMATIC]
        if automatic not in found and not model.makes_media:
            found.append(automatic)
        allowed = (each for each in found[1:] if may_use(each.id))
        return (
            model,
            *(
                each.with_tools(tool for tool in each.tools if tool in model.tools)
                for each in allowed
            ),
        )


def no_such(name: str) -> ModelNotFound:
    """What is said of a name that means nothing here, or nothing to this caller."""
    return ModelNotFound(f"the model {name[:100]!r} does not exist", param="model")


def _merged(model: Model | None, change: ModelSettings) -> Model:
    """A new model is the widget's by its own id unless the change says otherwise; what a change
    does not name stays.
    """
    given = change.model_dump(exclude_unset=True, exclude_none=False)
    if "tools" in given and given["tools"] is None:
        del given["tools"]
    given = {
        key: value
        for key, value in given.items()
        if value is not None or key in ("upstream", "successor")
    }
    model = model or Model(change.id, {WIDGET: change.id})
    if "upstream" in given:
        model = replace(model, names={**model.names, WIDGET: given.pop("upstream")})
    return replace(model, **given)
