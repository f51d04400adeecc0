"""Which models there are: the catalogue's, and what the accounts' own configurations list beside
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gbproxy.accounts.model_fallbacks import RequestedModel
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import Account
from gbproxy.domain.models import AUTOMATIC, BUILT_IN, Catalogue, Model, no_such
from gbproxy.domain.principal import Principal


class AvailableModels:
    """Safe for use by many threads at once. `accounts`: those that are enabled."""

    def __init__(
        self, catalogue: Catalogue, support: ModelSupport, accounts: Callable[[], Iterable[Account]]
    ) -> None:
        self._catalogue = catalogue
        self._support = support
        self._accounts = accounts

    def all(self) -> list[Model]:
        """What may be chosen: the catalogue, without what no account has any more, and what their
        configurations add.
        """
        known = self._support.capabilities(self._accounts())
        listed = dict.fromkeys(id_ for each in known if each is not None for id_ in each.listed)
        automatic = {id_ for each in known if each is not None for id_ in each.automatic}
        # One whose configuration is not known, or lists nothing, may have everything.
        is_complete = bool(known) and all(each is not None and each.listed for each in known)
        kept = [
            model
            for model in self._catalogue.all()
            if model.upstream is None
            or not is_complete
            or model.upstream in listed
            or model not in BUILT_IN
        ]
        added = [
            Model(id_, id_)
            for id_ in listed
            if id_ not in automatic and self._catalogue.find(id_) is None
        ]
        return kept + added

    def get(self, name: str) -> Model:
        """The model of a name that is known here, whether or not it is listed. Raises
        ModelNotFound.
        """
        model = self._catalogue.find(name) or self._listed(name)
        if model is None:
            raise no_such(name)
        return model

    def resolve(self, name: str | None) -> Model:
        """The model that answers a request for `name`, see `Catalogue.resolve`. Raises
        ModelNotFound.
        """
        if name and self._catalogue.find(name) is None:
            listed = self._listed(name)
            if listed is not None:
                return listed
        return self._catalogue.resolve(name)

    def counted_as(self, model: Model) -> str:
        """The id under which limits count a model: names that clients have made up count as one."""
        is_known = self._catalogue.has(model) or self._listed(model.id) is not None
        return model.id if is_known else self._catalogue.default.id

    def requested(self, model: Model, principal: Principal) -> RequestedModel:
        """What a request for this model may ask the accounts for."""
        return RequestedModel(self._catalogue.chain(model, principal.may_use), self._support)

    def _listed(self, name: str) -> Model | None:
        id_ = name.removeprefix("models/")
        for each in self._support.capabilities(self._accounts()):
            if each is not None and id_ in each.automatic:
                return self._catalogue.get(AUTOMATIC)
            if each is not None and id_ in each.listed:
                return Model(id_, id_)
        return None
