"""Failover of one request: lease the next account, and decide the next step after a failure."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from enum import Enum

from gbproxy.accounts.failure_policy import FailurePolicy, Retry, policy_for
from gbproxy.accounts.model_fallbacks import ModelFallbacks, RequestedModel, without_traceback
from gbproxy.accounts.pool import Pool
from gbproxy.domain.account import Account, QuotaClass, QuotaScope
from gbproxy.domain.clock import jitter
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
    """The next step after a failure that the request can get over."""

    SAME = "same"  # ask the account that it has, in a fresh session, for `Failover.model`
    OTHER = "other"  # release it, and take the next from `Failover.lease`


@dataclass(slots=True)
class Failover:
    """For one request: at most `limit` accounts, each remedy once, no retry after output started.

    `suspect` has an account probed, and does not wait for it.
    """

    pool: Pool
    requested: RequestedModel
    limit: int = 3
    suspect: Callable[[Account], object] = lambda account: None
    pause: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = jitter
    _tried: dict[str, None] = field(default_factory=dict)  # ids, in order
    _errors: list[GatewayError] = field(default_factory=list)
    _retriable: str | None = None  # the key of the last account whose failure may have passed
    _has_retried: bool = False
    # The first account that failed so, by whether it was suspected: its id.
    _unclear_on: dict[bool, str] = field(default_factory=dict)
    # Of the leased account:
    _account: Account | None = None
    _fallbacks: ModelFallbacks | None = None
    _has_lost_session: bool = False
    _cooling: Collection[QuotaClass] = ()

    @property
    def asked(self) -> Model:
        """The model that the client wants."""
        return self.requested.model

    @property
    def model(self) -> Model:
        """The model to ask the account for: without the tools whose quota is used up there."""
        model = self._fallbacks.model if self._fallbacks is not None else self.asked
        return model.without(self._cooling)

    @property
    def _scope(self) -> QuotaScope:
        return self.asked.quota_scope

    @property
    def has_asked(self) -> bool:
        """True once an account was leased."""
        return bool(self._tried)

    def is_used_up(self) -> bool:
        """True when no account has the quota of this model left, or can be asked at all."""
        excluded = {*self.requested.unable(), *self.requested.unserved()}
        return not self.pool.any_available(self._scope, excluded=excluded)

    def begun(self) -> None:
        """The account has begun to answer."""
        if self._fallbacks is not None:
            self._fallbacks.begun()

    def answered(self) -> None:
        """The account's answer is whole."""
        if self._fallbacks is not None:
            self._fallbacks.answered()

    @contextmanager
    def lease(
        self, *, required: str | None = None, preferred: str | None = None
    ) -> Iterator[Account]:
        """Lend the next account to ask, see `Pool.lease`. Raises the error that the client gets
        when there is none.
        """
        with self._acquire(required, preferred) as account:
            self._begin(account)
            yield account

    def _acquire(
        self, required: str | None, preferred: str | None
    ) -> AbstractContextManager[Account]:
        quota = self._scope
        if len(self._tried) < self.limit:
            excluded = self._excluded(required)
            try:
                return self.pool.lease(
                    quota, required=required, preferred=preferred, excluded=excluded
                )
            except GatewayError:
                if not self._errors:
                    missing = self._missing_tool(required)
                    if missing is not None:
                        raise missing from None
                    raise
        if self._retriable is None or self._has_retried:
            raise self._final_error()
        self._pause_for_retry()
        try:
            return self.pool.lease(quota, required=self._retriable)
        except GatewayError:
            raise self._final_error() from None

    def _pause_for_retry(self) -> None:
        self._has_retried = True
        self.pause(self.uniform(*_RETRY_S))

    def _excluded(self, required: str | None) -> Collection[str]:
        """The ids of accounts that are not to be leased. One on which a fallback would answer is
        among them while another has the model itself.
        """
        excluded = {*self._tried, *self.requested.unable(), *self.requested.unserved()}
        averse = self.requested.averse() if required is None else ()
        if averse and self.pool.any_available(self._scope, excluded={*excluded, *averse}):
            excluded.update(averse)
        return excluded

    def _missing_tool(self, required: str | None) -> GatewayError | None:
        """The error where every account that could be asked has the model's tool switched off."""
        unable = self.requested.unable()
        is_cause = unable and self.pool.any_available(self._scope, required=required)
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
        self._fallbacks = ModelFallbacks(self.requested, account)
        self._has_lost_session = False
        self._cooling = self.pool.cooling(account.id)

    def failed(
        self,
        error: GatewayError,
        *,
        output_started: bool = False,
        reused_session: bool = False,
        can_restart: bool = True,
    ) -> Next:
        """Apply the policy for a failure on the leased account, and decide the next step.
        Raises the error that the client gets when there is none.

        `output_started`: content has gone out, or there is no time for more. `reused_session`: the
        session was not opened for this request. `can_restart`: the request brings its whole
        history, so that it may be asked again in a fresh session.
        """
        may_retry = can_restart and not output_started
        if may_retry and self._fresh_session_may_help(error, reused_session=reused_session):
            self._has_lost_session = True
            return Next.SAME
        if may_retry and self._fallbacks is not None:
            if self._fallbacks.lacks_tool(error) and self.may_go_elsewhere():
                self._errors.append(without_traceback(error))
                return Next.OTHER
            if self._fallbacks.refused(error):
                return Next.SAME
        policy = self._learn(error, reused_session=reused_session)
        if not may_retry or policy.retry is Retry.NEVER or self._account is None:
            raise error
        if isinstance(error, QuotaExhausted) and self._can_do_without(error, self._account):
            return Next.SAME
        return self._next_step(error, policy, self._account)

    def file_failed(self, account: Account, error: GatewayError) -> None:
        """Apply the policy to an account that has refused a file of an answer which it has begun:
        there is no other to ask for it.
        """
        self.pool.failed(account, self.asked.quota, error)
        if policy_for(error).suspects:
            self.suspect(account)

    def _can_do_without(self, error: QuotaExhausted, account: Account) -> bool:
        """True when the same account is to be asked without the tool whose quota is used up.

        Where another account may have that quota left, that one is asked, with the tool.
        """
        before, self._cooling = self.model, self.pool.cooling(account.id)
        quotas = {self._scope, *error.media}
        may_go_elsewhere = len(self._tried) < self.limit and all(
            self.pool.any_available(quota, excluded=self._tried) for quota in quotas
        )
        return self.model != before and not may_go_elsewhere

    def _fresh_session_may_help(self, error: GatewayError, *, reused_session: bool) -> bool:
        # 403 in a session that was not opened just now: it may belong to another sign-in of this
        # account, see docs/upstream.md, errors.
        is_lost = isinstance(error, SessionGone) or (
            reused_session and isinstance(error, SessionDenied)
        )
        return is_lost and not self._has_lost_session

    def _learn(self, error: GatewayError, *, reused_session: bool) -> FailurePolicy:
        policy = policy_for(error)
        is_about_session = (
            reused_session
            and not self._has_lost_session
            and isinstance(error, SessionDenied | SessionGone)
        )
        if self._account is not None and not is_about_session:
            self.pool.failed(self._account, self._scope, error)
            if policy.suspects:
                self.suspect(self._account)
        return policy

    def _next_step(self, error: GatewayError, policy: FailurePolicy, account: Account) -> Next:
        if policy.retry is Retry.OTHER_THEN_FAIL:
            first = self._unclear_on.setdefault(policy.suspects, account.id)
            if first != account.id:
                raise UpstreamUnclear(
                    f"{error.message}; two accounts failed alike, so it is put down to the request"
                )
        self._errors.append(without_traceback(error))
        if policy.retry_same:
            self._retriable = account.account_key
            if not self._has_retried and not self.may_go_elsewhere():
                self._pause_for_retry()
                return Next.SAME
        return Next.OTHER

    def may_go_elsewhere(self) -> bool:
        """True while an account that was not tried may be asked."""
        excluded = {*self._tried, *self.requested.unable(), *self.requested.unserved()}
        return len(self._tried) < self.limit and self.pool.any_available(
            self._scope, excluded=excluded
        )

    def _final_error(self) -> GatewayError:
        """The most recoverable error of the tries, which all failed, else the last."""
        for kind in (UpstreamOverloaded, QuotaExhausted, CredentialRefused):
            error = next(
                (
                    error
                    for error in reversed(self._errors)
                    if isinstance(error, kind) and not self._is_of_a_tool(error)
                ),
                None,
            )
            if error is None:
                continue
            if not isinstance(error, CredentialRefused):
                error.retry_after = self.pool.recovery_s(self._scope) or error.retry_after
            return error
        last = self._errors[-1]
        if isinstance(last, QuotaExhausted):  # of a tool
            last.retry_after = self.pool.recovery_s(last.media[0]) or last.retry_after
        return last

    def _is_of_a_tool(self, error: GatewayError) -> bool:
        """True when the quota is one that this kind of request can do without."""
        return (
            isinstance(error, QuotaExhausted)
            and bool(error.media)
            and self.asked.quota not in error.media
        )
