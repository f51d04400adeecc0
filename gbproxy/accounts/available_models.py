"""The models that clients may name: the catalogue's with `MODELS` laid over it, and those that
accounts' configurations list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from gbproxy.accounts.model_fallbacks import RequestedModel
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import WIDGET, Account
from gbproxy.domain.catalogue import AUTOMATIC, BUILT_IN, Catalogue, no_such
from gbproxy.domain.models import AccountCapabilities, Model
from gbproxy.domain.principal import Principal
from gbproxy.settings import ModelSettings


def configured_models(
    changes: Iterable[ModelSettings], further: Iterable[Model] = ()
) -> Collection[Model]:
    """The built-in models and `further` ones, with the setting `MODELS` laid over them: what a
    change does not name stays. A new model is the widget's, by its own id.
    """
    models = {model.id: model for model in (*BUILT_IN, *further)}
    for change in changes:
        fields = change.model_dump(exclude_unset=True)
        # None takes these away; elsewhere it changes nothing.
        fields = {
            k: v
            for k, v in fields.items()
            if v is not None or k in ("upstream", "successor", "fallback")
        }
        model = models.get(change.id, Model(change.id, {WIDGET: change.id}))
        if "aliases" in fields:  # built-in ones cannot be named again
            fields["aliases"] = (*model.aliases, *fields["aliases"])
        if "upstream" in fields:
            fields["names"] = {**model.names, WIDGET: fields.pop("upstream")}
        models[change.id] = replace(model, **fields)
    return models.values()


class AvailableModels:
    """Safe for use by many threads at once. `accounts`: those that are enabled; `upstreams`: the
    names of those that answer here.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        support: ModelSupport,
        accounts: Callable[[], Iterable[Account]],
        upstreams: Collection[str] = (WIDGET,),
    ) -> None:
        self._upstreams = upstreams
        self._catalogue = catalogue
        self._support = support
        self._accounts = accounts

    def all(self) -> list[Model]:
        """The catalogue without what no account has any more, and what their configurations add."""
        known = self._known()
        automatic = {id_ for _, each in known if each is not None for id_ in each.automatic}
        kept = [
            model
            for model in self._catalogue.all()
            if not known
            or model not in BUILT_IN
            or any(_may_have(upstream, each, model) for upstream, each in known)
        ]
        names: dict[str, dict[str, str | None]] = {}
        for upstream, each in known:
            for id_ in each.listed if each is not None else ():
                names.setdefault(id_, {})[upstream] = id_
        listed = {id_: Model(id_, by_upstream) for id_, by_upstream in names.items()}
        added = [
            model
            for id_, model in listed.items()
            if id_ not in automatic and self._catalogue.find(id_, listed.get) is model
        ]
        return kept + added

    def get(self, name: str) -> Model:
        """The model of a known name, whether or not `all` lists it. Raises ModelNotFound."""
        model = self._catalogue.find(name, self._listed)
        if model is None:
            raise no_such(name)
        return model

    def get_with_suffix(self, name: str) -> Model:
        """As `get`; the name may end in a suffix that narrows the model's tools."""
        return self._catalogue.with_suffix(name, self._listed) or self.get(name)

    def resolve(self, name: str | None) -> Model:
        """The model that answers a request for `name`, see `Catalogue.resolve`. Raises
        ModelNotFound.
        """
        return self._catalogue.resolve(name, self._listed)

    def counted_as(self, model: Model) -> str:
        """The id under which limits count a model. All names that clients have made up are one."""
        is_known = self._catalogue.has(model) or self._listed(model.id) is not None
        return model.id if is_known else self._catalogue.default.id

    def requested(
        self, model: Model, principal: Principal, able: Collection[str] = (WIDGET,)
    ) -> RequestedModel:
        """The model and the successors that this principal may use, for accounts of the upstreams
        `able`.
        """
        upstreams = (
            {account.id: account.upstream for account in self._accounts()}
            if len(self._upstreams) > 1
            else {}
        )
        chain = self._catalogue.chain(model, principal.may_use)
        return RequestedModel(chain, self._support, upstreams, able)

    def fallbacks(self, model: Model, principal: Principal) -> tuple[Model, ...]:
        """The models that this principal may use when the quota of `model` is used up, in order."""
        return self._catalogue.fallbacks(model, principal.may_use)

    def _listed(self, name: str) -> Model | None:
        id_ = name.removeprefix("models/")
        for upstream, each in self._known():
            if each is not None and id_ in each.automatic:
                return self._catalogue.get(AUTOMATIC)
            if each is not None and id_ in each.listed:
                return Model(id_, {upstream: id_})
        return None

    def _known(self) -> list[tuple[str, AccountCapabilities | None]]:
        """By account, its upstream and what its configuration says."""
        accounts = tuple(self._accounts())
        upstreams = [account.upstream for account in accounts]
        return list(zip(upstreams, self._support.capabilities(accounts), strict=True))


def _may_have(upstream: str, known: AccountCapabilities | None, model: Model) -> bool:
    """True when an account may have a model: one whose configuration is not known, or lists
    nothing, may have all that its upstream serves, but for models whose tool is switched off.
    """
    if not model.is_served_by(upstream):
        return False
    if known is not None and not model.essential_tools.isdisjoint(known.tools_off):
        return False
    name = model.name_at(upstream)
    return name is None or known is None or not known.listed or name in known.listed
