"""The model catalogue as data: which names a client may use, and what each means upstream.

Source: docs/upstream.md, models. The widget takes a `modelId`, or none for its own choice ("Auto"), and a set of tools.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gbproxy.domain.account import QuotaClass
from gbproxy.errors import ModelNotFound
from gbproxy.settings import ModelSettings

Tool = Literal["webGroundingSpec", "toolRegistry", "imageGenerationSpec", "videoGenerationSpec"]

ALL_TOOLS: tuple[Tool, ...] = ("webGroundingSpec", "toolRegistry", "imageGenerationSpec", "videoGenerationSpec")

_DRAWS_ON: Mapping[Tool, QuotaClass] = {"imageGenerationSpec": "images", "videoGenerationSpec": "videos"}

# Names of other vendors' models, which many clients are unable to change.
_FOREIGN = re.compile(r"gpt-|o1|o3|o4|claude-")


@dataclass(frozen=True, slots=True)
class Model:
    """`upstream` is the widget's modelId, None for automatic; `successor` the id to use when upstream has retired this one."""

    id: str
    upstream: str | None
    tools: tuple[Tool, ...] = ALL_TOOLS
    quota: QuotaClass = "text"
    aliases: tuple[str, ...] = ()
    successor: str | None = None

    def without(self, resting: Collection[QuotaClass]) -> Model:
        """The same model without the tools that draw on one of these quotas; its own is what it is there for."""
        spared = {quota for quota in resting if quota != self.quota}
        tools = tuple(tool for tool in self.tools if _DRAWS_ON.get(tool) not in spared)
        return self if tools == self.tools else replace(self, tools=tools)


BUILT_IN: tuple[Model, ...] = (
    Model("gemini-auto", None, aliases=("gemini-business",)),
    Model("gemini-2.5-flash", "gemini-2.5-flash"),
    Model("gemini-2.5-pro", "gemini-2.5-pro"),
    Model("gemini-3-flash-preview", "gemini-3-flash-preview"),
    Model("gemini-3-pro-preview", "gemini-3-pro-preview", successor="gemini-3.1-pro-preview"),
    Model("gemini-3.1-pro-preview", "gemini-3.1-pro-preview"),
    Model("gemini-3.5-flash", "gemini-3.5-flash"),
)


def built_in_names() -> frozenset[str]:
    """Every id and alias of the built-in catalogue."""
    return frozenset(name for model in BUILT_IN for name in (model.id, *model.aliases))


class Catalogue:
    """The built-in models with the user's `MODELS` merged in by id."""

    def __init__(self, default: str = "gemini-auto", changes: Collection[ModelSettings] = ()) -> None:
        self._models: dict[str, Model] = {model.id: model for model in BUILT_IN}
        for change in changes:
            self._models[change.id] = _merged(self._models.get(change.id), change)
        self._names: Mapping[str, Model] = {
            **{alias: model for model in self._models.values() for alias in model.aliases},
            **self._models,
        }
        self._default = self._names[default]

    def all(self) -> tuple[Model, ...]:
        return tuple(self._models.values())

    def get(self, name: str) -> Model:
        """The model of an id or alias. Raises ModelNotFound."""
        model = self._names.get(name.removeprefix("models/"))
        if model is None:
            raise no_such(name)
        return model

    def resolve(self, name: str | None) -> Model:
        """The model that answers a request for `name`: also for no name and for other vendors' names. Raises ModelNotFound."""
        if not name:
            return self._default
        if name not in self._names and _FOREIGN.match(name):
            return self._default
        return self.get(name)

    def successor(self, model: Model) -> Model | None:
        return self._names.get(model.successor) if model.successor else None


def no_such(name: str) -> ModelNotFound:
    """What is said of a name that means nothing here, or nothing to this caller."""
    return ModelNotFound(f"the model {name[:100]!r} does not exist", param="model")


def _merged(model: Model | None, change: ModelSettings) -> Model:
    """A new model answers to its own id upstream unless the change says otherwise; what a change does not name stays."""
    given = change.model_dump(exclude_unset=True, exclude_none=False)
    if "tools" in given and given["tools"] is None:
        del given["tools"]
    given = {key: value for key, value in given.items() if value is not None or key in ("upstream", "successor")}
    return replace(model or Model(change.id, change.id), **given)
