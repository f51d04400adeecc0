"""For administrators: all models, and what each account has accepted and refused of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gbproxy.accounts.available_models import AvailableModels
from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import Account
from gbproxy.domain.catalogue import Catalogue
from gbproxy.domain.models import NOTHING_SAID, Model, Tool

State = Literal[
    "automatic",  # the upstream's own choice, which needs no id
    "taken",
    "doubted",  # accepted before, and refused once in words that may be about something else
    "refused",  # within the last hour: then it is asked for again
    "off",  # its configuration disables it
    "listed",  # its configuration has it, and it was not asked for
    "unlisted",  # its configuration has others only
    "unknown",
    "unserved",  # its upstream is not one of the model's
]


@dataclass(frozen=True, slots=True)
class AccountModel:
    """One account's state for one model; `noted_at`: when it was accepted or refused, in Unix
    seconds.
    """

    id: str
    name: str
    state: State
    noted_at: float | None = None


@dataclass(frozen=True, slots=True)
class ModelReport:
    """`is_listed`: clients see it in the list of models; else they may ask for it all the same."""

    model: Model
    is_listed: bool
    accounts: tuple[AccountModel, ...]


@dataclass(frozen=True, slots=True)
class AccountTools:
    """The tools that requests to an account leave out, as they were refused or are switched off."""

    id: str
    name: str
    tools_off: tuple[Tool, ...]


class ModelReports:
    """Calls raise StorageUnavailable."""

    def __init__(
        self,
        catalogue: Catalogue,
        available: AvailableModels,
        support: ModelSupport,
        accounts: Callable[[], Iterable[Account]],
        sync: Sequence[Callable[[], object]] = (),
    ) -> None:
        """`sync`: adopt what other workers know of accounts and models."""
        self._catalogue = catalogue
        self._available = available
        self._support = support
        self._accounts = accounts
        self._sync = sync

    def models(self) -> list[ModelReport]:
        """The catalogue's, then those that configurations add, then names that clients have
        tried.
        """
        self._adopt()
        accounts = tuple(self._accounts())
        offered = self._available.all()
        models = {model.id: model for model in (*self._catalogue.all(), *offered)}
        known = {name for model in models.values() for name in model.names.values()}
        for model in self._tried(accounts):
            if model.id not in known:
                models.setdefault(model.id, model)
        listed = {model.id for model in offered}
        return [
            ModelReport(model, id_ in listed, tuple(self._of(each, model) for each in accounts))
            for id_, model in models.items()
        ]

    def tools(self) -> list[AccountTools]:
        """Of every account."""
        self._adopt()
        return [
            AccountTools(each.id, each.name, tuple(sorted(self._support.tools_off(each))))
            for each in self._accounts()
        ]

    def _adopt(self) -> None:
        for sync in self._sync:
            sync()

    def _tried(self, accounts: Iterable[Account]) -> Iterator[Model]:
        for account in accounts:
            for id_ in self._support.tried(account):
                yield Model(id_, {account.upstream: id_})

    def _of(self, account: Account, model: Model) -> AccountModel:
        state, noted_at = self._state(account, model)
        return AccountModel(account.id, account.name, state, noted_at)

    def _state(self, account: Account, model: Model) -> tuple[State, float | None]:
        if not model.is_served_by(account.upstream):
            return "unserved", None
        name = model.name_at(account.upstream)
        if name is None:
            return "automatic", None
        [read] = self._support.capabilities([account])
        said = read or NOTHING_SAID
        if name in said.disabled:
            return "off", None
        found = self._support.tried(account).get(name)
        if found is not None:
            return _STATES[found.text], found.noted_at
        if name in said.listed:
            return "listed", None
        return ("unlisted" if said.listed else "unknown"), None


_STATES: dict[str, State] = {"taken": "taken", "doubted": "doubted", "refused": "refused"}
