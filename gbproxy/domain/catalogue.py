"""The model catalogue: the names that clients may use, and the models, successors and fallbacks
behind them.

Source: docs/upstream.md, models over time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from gbproxy.domain.account import WIDGET
from gbproxy.domain.models import Model, Tool
from gbproxy.errors import ModelNotFound

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
# Aliases that may be ids upstream one day, as some with `-image` behind them are.
_VERSIONED = re.compile(r"gemini-\d")
# What may be the name of a model that is newer than this catalogue: the upstream is asked.
_GUESS = re.compile(r"gemini-[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

AUTOMATIC = "gemini-auto"
"""The id of the upstream's own choice, which cannot be retired."""

IMAGES = "gemini-imagen"
"""The model of requests for images that name none."""

_FLASH, _FLASH_LITE, _PRO = "gemini-3.8-flash", "gemini-3.5-flash-lite", "gemini-3.1-pro-preview"

_NANO_BANANAS = ("nano-banana", "nano-banana-2", "nano-banana-pro")


def _model(id_: str, successor: str | None = None, *aliases: str) -> Model:
    return Model(id_, {WIDGET: id_}, aliases=aliases, successor=successor)


BUILT_IN: tuple[Model, ...] = (
    Model(AUTOMATIC, {WIDGET: None}, aliases=("gemini-business", "business-gemini", "auto")),
    _model(_FLASH, None, "gemini-flash-latest"),
    _model(_PRO, None, "gemini-pro-latest", "gemini-3.1-pro"),
    _model("gemini-3.7-flash", _FLASH),
    _model("gemini-3.6-flash", _FLASH),
    _model("gemini-3.5-flash", _FLASH),
    _model(_FLASH_LITE, _FLASH, "gemini-flash-lite-latest"),
    _model("gemini-3-flash-preview", _FLASH, "gemini-3-flash"),
    _model("gemini-3-pro-preview", _PRO, "gemini-3-pro"),
    _model("gemini-2.5-pro", _PRO),
    _model("gemini-2.5-flash", _FLASH),
    _model("gemini-2.5-flash-lite", _FLASH_LITE),
    # The upstream's own choice, with one tool.
    Model(IMAGES, {WIDGET: None}, ("imageGenerationSpec",), "images", _NANO_BANANAS),
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
        built_in = {alias: model.id for model in BUILT_IN for alias in model.aliases}
        chosen = {
            **{
                alias: model
                for model in configured
                for alias in model.aliases
                if built_in.get(alias) != model.id
            },
            **self._models,
        }
        self._assumed = built_in.keys() - chosen.keys()
        self._names: Mapping[str, Model] = {
            **{alias: self._models[built_in[alias]] for alias in self._assumed},
            **chosen,
        }
        self._default = self._names[default]

    @property
    def default(self) -> Model:
        """The model of a request that names none."""
        return self._default

    def all(self) -> tuple[Model, ...]:
        return tuple(self._models.values())

    def find(self, name: str, listed: Lookup = lambda name: None) -> Model | None:
        """The model of an id or alias, or else of `listed`, whose ids go before built-in aliases:
        an account has those.
        """
        id_ = name.removeprefix("models/")
        found = self._names.get(id_)
        return found if found is not None and id_ not in self._assumed else listed(name) or found

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
        found = self.find(name, listed) or self.with_suffix(name, listed)
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
        model = self.find(stem, listed) if tool else None
        if tool is None or model is None:
            return None
        is_upstreams = tool == "imageGenerationSpec" and _VERSIONED.match(stem)
        if is_upstreams and stem in self._assumed:
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
        """The model, then its successors in order, to be asked for when it is refused; the last is
        the upstream's own choice.

        Only those that `may_use` allows, and with no tool that the model does not have. A model for
        pictures or videos does not fall back to the upstream's choice, which answers in text.
        """
        found = {model.id: model}
        following = self._names.get(model.successor) if model.successor else None
        if following is None and not self.has(model):
            following = self._default
        while following is not None and following.id not in found:
            found[following.id] = following
            following = self._names.get(following.successor) if following.successor else None
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

    def fallbacks(
        self, model: Model, may_use: Callable[[str], bool] = lambda model_id: True
    ) -> tuple[Model, ...]:
        """The models that answer one after the other when the quota of `model` is used up.

        Only those that `may_use` allows, and with no tool that the model does not have; but in
        place of one for pictures or videos, any that was chosen for it.
        """
        found = {model.id: model}
        following = self._names.get(model.fallback) if model.fallback else None
        while following is not None and following.id not in found:
            found[following.id] = following
            following = self._names.get(following.fallback) if following.fallback else None
        allowed = [each for each in found.values() if each is not model and may_use(each.id)]
        if model.makes_media:
            return tuple(allowed)
        return tuple(each.with_tools(t for t in each.tools if t in model.tools) for each in allowed)


def _split(name: str) -> tuple[str, Tool | None]:
    """A name without its suffix, and the tool to which that narrows; None without a suffix."""
    split = _SUFFIX.fullmatch(name)
    return (split["stem"], _SUFFIXES[split["suffix"]]) if split else (name, None)


def no_such(name: str) -> ModelNotFound:
    """The error for a name that does not exist, or that the API key may not use."""
    return ModelNotFound(f"the model {name[:100]!r} does not exist", param="model")
