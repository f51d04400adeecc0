"""What one request has tried so far, what it met, and what it may still try."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum

from gbproxy.accounts.failure_policy import FailurePolicy, Then, policy_for
from gbproxy.accounts.model_fallbacks import Choice, RequestedModel, bare
from gbproxy.accounts.pool import Pool
from gbproxy.domain import jitter
from gbproxy.domain.account import Account, QuotaClass
from gbproxy.domain.models import Model
from gbproxy.errors import (
    CredentialRefused,
    GatewayError,
    QuotaExhausted,
    RequestRefused,
    SessionDenied,
    SessionGone,
    UpstreamOverloaded,
    UpstreamUnclear,
)

_RETRY_S = (0.1, 0.4)  # before the same account is asked again, jittered


class Next(Enum):
    """What the request does after a failure that it can get over."""

    SAME = "same"  # ask the account that it has, in a fresh session, for `Failover.model`
    OTHER = "other"  # give it back, and take the next from `Failover.lease`


@dataclass(slots=True)
class Failover:
    """One request's way through the pool: at most `limit` accounts, each remedy once, nothing after
    content.

    `suspect` has an account looked at, and does not wait for it.
    """

    pool: Pool
    requested: RequestedModel
    limit: int = 3
    suspect: Callable[[Account], object] = lambda account: None
    pause: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = jitter.uniform
    _tried: dict[str, None] = field(default_factory=dict)  # ids, in order
    _met: list[GatewayError] = field(default_factory=list)
    _may_ask_again: str | None = None  # the seat whose failure may have passed
    _asked_again: bool = False
    # ids, by whether the account was suspected
    _unclear_on: dict[bool, str] = field(default_factory=dict)
    _account: Account | None = None
    _choice: Choice | None = None
    _lost_session: bool = False
    # the kinds of request for which the account rests that is lent now
    _resting: Collection[QuotaClass] = ()

    @property
    def asked(self) -> Model:
        """What the client wants."""
        return self.requested.model

    @property
    def model(self) -> Model:
        """What the account that is lent now is to be asked for: without tools whose quota is used
        up there.
        """
        return (self._choice.model if self._choice is not None else self.asked).without(
            self._resting
        )

    def begun(self) -> None:
        """The account that is lent now has begun to answer."""
        if self._choice is not None:
            self._choice.begun()

    def answered(self) -> None:
        """Its answer is whole."""
        if self._choice is not None:
            self._choice.answered()

    @contextmanager
    def lease(
        self, *, wanted: str | None = None, preferred: str | None = None
    ) -> Iterator[Account]:
        """The next account to ask. Raises the error that the client gets when there is none, see
        `Pool.lease` for the first.
        """
        with self._lend(wanted, preferred) as account:
            self._begin(account)
            yield account

    @contextmanager
    def _lend(self, wanted: str | None, preferred: str | None) -> Iterator[Account]:
        entered = False
        try:
            if len(self._tried) < self.limit:
                quota, excluded = self.asked.quota, self._excluded(wanted)
                with self.pool.lease(
                    quota, wanted=wanted, preferred=preferred, excluded=excluded
                ) as account:
                    entered = True
                    yield account
                return
        except GatewayError:
            if entered:
                raise
            if not self._met:
                lacking = self._lacks_tool(wanted)
                if lacking is not None:
                    raise lacking from None
                raise
        again = self._may_ask_again
        if again is None or self._asked_again:
            raise self._verdict()
        self._asked_again = True
        self.pause(self.uniform(*_RETRY_S))
        entered = False
        try:
            with self.pool.lease(self.asked.quota, wanted=again) as account:
                entered = True
                yield account
        except GatewayError:
            if entered:
                raise
            raise self._verdict() from None

    def _excluded(self, wanted: str | None) -> Collection[str]:
        """The ids of accounts that are not to be lent: who has the model goes before who would
        answer by another.
        """
        excluded = {*self._tried, *self.requested.unable(), *self.requested.unserved()}
        averse = self.requested.averse() if wanted is None else ()
        if averse and self.pool.may_ask(self.asked.quota, excluded={*excluded, *averse}):
            excluded.update(averse)
        return excluded

    def _lacks_tool(self, wanted: str | None) -> GatewayError | None:
        """The error of a request that nobody can answer, as every account which could be asked has
        its tool switched off.
        """
        unable = self.requested.unable()
        is_cause = unable and self.pool.may_ask(self.asked.quota, wanted=wanted)
        if not is_cause:
            return None
        tools = " and ".join(sorted(self.asked.essential_tools))
        return RequestRefused(
            f"the model {self.asked.id!r} needs {tools}, which is switched off upstream",
            param="model",
        )

    def _begin(self, account: Account) -> None:
        self._tried[account.id] = None
        self._account = account
        self._choice = Choice(self.requested, account)
        self._lost_session = False
        self._resting = self.pool.resting(account.id)

    def failed(
        self,
        error: GatewayError,
        *,
        said: bool = False,
        continued: bool = False,
        afresh: bool = True,
    ) -> Next:
        """Learn from a failure on the account that is lent, and decide. Raises what the client gets
        when it is over.

        `said`: content has gone out, or there is no time for more. `continued`: the session was not
        made by this request. `afresh`: the request may be asked again in a fresh session, as it
        brings its whole history.
        """
        if afresh and not said and self._is_cured_by_a_fresh_session(error, continued=continued):
            self._lost_session = True
            return Next.SAME
        if afresh and not said and self._choice is not None:
            if self._choice.lacks_tool(error) and self.may_go_elsewhere():
                self._met.append(bare(error))
                return Next.OTHER
            if self._choice.refused(error):
                return Next.SAME
        rule = self._learn(error, continued=continued)
        if said or not afresh or rule.then is Then.ENDS or self._account is None:
            raise error
        if isinstance(error, QuotaExhausted) and self._can_do_without(error, self._account):
            return Next.SAME
        return self._goes_on(error, rule, self._account)

    def _can_do_without(self, error: QuotaExhausted, account: Account) -> bool:
        """Whether the question goes to the same account again, without the tool whose quota it has
        just found used up.

        Where another account may have that quota left, that one is asked, with the tool.
        """
        before, self._resting = self.model, self.pool.resting(account.id)
        kinds = {self.asked.quota, *error.media}
        may_go_elsewhere = len(self._tried) < self.limit and all(
            self.pool.may_ask(kind, excluded=self._tried) for kind in kinds
        )
        return self.model != before and not may_go_elsewhere

    def _is_cured_by_a_fresh_session(self, error: GatewayError, *, continued: bool) -> bool:
        # 403 in a session that was continued: it may belong to another sign-in of this account, see
        # docs/upstream.md, errors.
        is_lost = isinstance(error, SessionGone) or (continued and isinstance(error, SessionDenied))
        return is_lost and not self._lost_session

    def _learn(self, error: GatewayError, *, continued: bool) -> FailurePolicy:
        rule = policy_for(error)
        about_session = (
            continued and not self._lost_session and isinstance(error, SessionDenied | SessionGone)
        )
        if self._account is not None and not about_session:
            self.pool.failed(self._account, self.asked.quota, error)
            if rule.suspects:
                self.suspect(self._account)
        return rule

    def _goes_on(self, error: GatewayError, rule: FailurePolicy, account: Account) -> Next:
        if (
            rule.then is Then.UNCLEAR
            and self._unclear_on.setdefault(rule.suspects, account.id) != account.id
        ):
            raise UpstreamUnclear(
                f"{error.message}; two accounts failed alike, so it is put down to the request"
            )
        self._met.append(bare(error))
        if rule.once_more:
            self._may_ask_again = account.account_key
            if not self._asked_again and not self.may_go_elsewhere():
                self._asked_again = True
                self.pause(self.uniform(*_RETRY_S))
                return Next.SAME
        return Next.OTHER

    def may_go_elsewhere(self) -> bool:
        """Whether some account beside those that were tried may still be asked."""
        excluded = {*self._tried, *self.requested.unable(), *self.requested.unserved()}
        return len(self._tried) < self.limit and self.pool.may_ask(
            self.asked.quota, excluded=excluded
        )

    def _verdict(self) -> GatewayError:
        """What the client hears after tries that all failed: the mildest that was met, else the
        last.
        """
        for kind in (UpstreamOverloaded, QuotaExhausted, CredentialRefused):
            met = next(
                (
                    error
                    for error in reversed(self._met)
                    if isinstance(error, kind) and not self._is_of_a_tool(error)
                ),
                None,
            )
            if met is None:
                continue
            if not isinstance(met, CredentialRefused):
                met.retry_after = self.pool.recovery_s(self.asked.quota) or met.retry_after
            return met
        last = self._met[-1]
        if isinstance(last, QuotaExhausted):  # that of a tool
            last.retry_after = self.pool.recovery_s(last.media[0]) or last.retry_after
        return last

    def _is_of_a_tool(self, error: GatewayError) -> bool:
        """Whether a quota is used up that this kind of request need not have."""
        return (
            isinstance(error, QuotaExhausted)
            and bool(error.media)
            and self.asked.quota not in error.media
        )
