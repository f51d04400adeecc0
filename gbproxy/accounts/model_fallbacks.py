"""Choose the model and tools that an account is asked for: the client's model, or a fallback where
the account lacks it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gbproxy.accounts.model_support import ModelSupport
from gbproxy.domain.account import Account
from gbproxy.domain.models import Model, Tool
from gbproxy.errors import GatewayError, RequestRefused, SessionDenied, SessionGone, UpstreamUnclear

log = logging.getLogger(__name__)

# What an administrator of the upstream can switch off: suspected when a refusal names nothing.
_OPTIONAL: frozenset[Tool] = frozenset(
    {"imageGenerationSpec", "videoGenerationSpec", "webGroundingSpec"}
)
_MAY_BE_A_TOOL = (RequestRefused, SessionDenied, UpstreamUnclear)


@dataclass(slots=True)
class RequestedModel:
    """One request's model and its support by accounts. `chain`: the model, then its fallbacks."""

    chain: Sequence[Model]
    support: ModelSupport = field(default_factory=ModelSupport)
    # By account id; empty where all are of one upstream.
    upstreams: Mapping[str, str] = field(default_factory=dict)
    able: Collection[str] = ()  # the upstreams that can answer the request
    has_guessed: bool = False  # a refusal that names nothing is worth one guess a request

    @property
    def model(self) -> Model:
        return self.chain[0]

    def unable(self) -> Collection[str]:
        """The ids of accounts that lack the tool that this model needs."""
        essential = self.model.essential_tools
        return self.support.without_tools(essential) if essential else ()

    def averse(self) -> Collection[str]:
        """The ids of accounts on which a fallback would answer."""
        return {
            id_
            for upstream, name in self.model.names.items()
            for id_ in self.support.without_model(name)
            if self.upstreams.get(id_, upstream) == upstream
        }

    def unserved(self) -> Collection[str]:
        """The ids of accounts whose upstream cannot serve this model, or no prompt as long."""
        return [id_ for id_, name in self.upstreams.items() if name not in self.able]


class ModelFallbacks:
    """The model to ask one account for, and the next one when it refuses that. For one request."""

    def __init__(self, requested: RequestedModel, account: Account) -> None:
        self._requested = requested
        self._account = account
        self._support = requested.support
        self._position = next(self._usable(0), 0)
        self._refused: list[tuple[Model, bool]] = []
        self._left_out: dict[Tool, bool] = {}  # True: the upstream has named it
        self._first_refusal: GatewayError | None = None
        self._narrow()

    @property
    def model(self) -> Model:
        return self._model

    def refused(self, error: GatewayError) -> bool:
        """True when the account is to be asked for another model, or without some tool, after this
        failure. Raises the first refusal when it was the last fallback that was refused.
        """
        if isinstance(error, _MAY_BE_A_TOOL) and self._may_leave_out_more(error):
            self._narrow()
            return True
        is_refusal = isinstance(error, SessionGone | RequestRefused)
        names_model = "model" in error.named
        may_be_model = is_refusal or (names_model and isinstance(error, _MAY_BE_A_TOOL))
        following = self._following() if may_be_model else None
        if following is not None:
            self._refused.append((self._requested.chain[self._position], names_model))
            self._position = following
        elif _leaves_open(error) and self._may_guess():
            # If the tools were at fault, the models were not.
            self._refused = [refusal for refusal in self._refused if refusal[1]]
        elif is_refusal and self._first_refusal is not None:
            raise self._first_refusal
        else:
            return False
        if is_refusal:
            self._first_refusal = self._first_refusal or without_traceback(error)
        self._narrow()
        return True

    def lacks_tool(self, error: GatewayError) -> bool:
        """True when this failure says that the tool that the model needs is switched off: another
        account may have it.
        """
        lacking = [tool for tool in self._model.essential_tools if tool in error.named]
        if not lacking or not isinstance(error, _MAY_BE_A_TOOL):
            return False
        for tool in lacking:
            self._support.tool_refused(self._account, tool, is_named=True)
        return True

    def begun(self) -> None:
        """The upstream has begun to answer."""
        asked, used = self._requested.model.id, self._model.id
        if asked != used:
            log.info(
                "model.mapped",
                extra={
                    "asked": asked,
                    "used": used,
                    "reason": "retired",
                    "account": self._account.id,
                },
            )

    def answered(self) -> None:
        """Remember for this account what it refused and accepted: the answer is whole, so what was
        refused before was at fault.
        """
        for model, is_named in self._refused:
            name = model.name_at(self._account.upstream)
            self._support.model_refused(self._account, name, is_named=is_named)
        for tool, is_named in self._left_out.items():
            self._support.tool_refused(self._account, tool, is_named=is_named)
        self._support.model_accepted(self._account, self._model.name_at(self._account.upstream))
        self._support.tools_accepted(self._account, self._model.tools)

    def _narrow(self) -> None:
        off = self._support.tools_off(self._account) | self._left_out.keys()
        self._model = self._requested.chain[self._position].without_tools(off)

    def _following(self) -> int | None:
        return next(self._usable(self._position + 1), None)

    def _usable(self, start: int) -> Iterator[int]:
        """The positions in the chain of the models that this account may be asked for."""
        upstream = self._account.upstream
        for i, model in enumerate(self._requested.chain[start:], start):
            if model.is_served_by(upstream) and not self._support.refuses(
                self._account, model.name_at(upstream)
            ):
                yield i

    def _may_leave_out_more(self, error: GatewayError) -> bool:
        """True when the request may succeed without some tool: one that the failure names, or one
        that is known to be off by now.
        """
        spare = self._spare()
        named = {tool: True for tool in spare if tool in error.named}
        if named or not self._support.tools_off(self._account).isdisjoint(spare):
            self._left_out |= named
            return True
        return False

    def _may_guess(self) -> bool:
        """True, once a request, when it may succeed without all tools that may be off."""
        if self._requested.has_guessed:
            return False
        doubtful = _OPTIONAL - self._support.tools_on(self._account)
        guessed = {tool: False for tool in self._spare() if tool in doubtful}
        self._left_out |= guessed
        self._requested.has_guessed = bool(guessed)
        return bool(guessed)

    def _spare(self) -> list[Tool]:
        return [tool for tool in self._model.tools if tool not in self._model.essential_tools]


def _leaves_open(error: GatewayError) -> bool:
    """True for a refusal that does not say what is refused."""
    is_nameless = isinstance(error, RequestRefused) and not error.named
    return is_nameless or isinstance(error, SessionDenied)


def without_traceback(error: GatewayError) -> GatewayError:
    """The error without its causes: a traceback would keep a whole attempt alive."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
