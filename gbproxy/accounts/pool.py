"""The accounts as one: lends them to requests, and learns from how these end."""

from __future__ import annotations

import random as chance
import time
from collections.abc import Callable, Collection, Iterable

from gbproxy.accounts.failure_policy import Then, policy_for
from gbproxy.accounts.health import AccountHealth, HealthStore, LocalHealthStore, PooledAccount
from gbproxy.accounts.learning import cooled, refused, taken_over
from gbproxy.accounts.lending import Lending, Order
from gbproxy.domain import jitter
from gbproxy.domain.account import Account, QuotaClass, id_of
from gbproxy.errors import GatewayError, QuotaExhausted
from gbproxy.observability.meter import SILENT, Meter


class Pool(Lending):
    """The accounts, each with a number of places and a state for each kind of request; safe for use
    by many threads at once.

    What one worker learns goes onto the `board`, outside of the lock; whoever polls it hands what
    others have learnt to `refresh`. What it can be asked stands in `Members`, how it lends in
    `Lending`; here is how it learns and is changed.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        *,
        concurrency: int = 8,
        wait_s: float = 120,
        order: Order = "least-busy",
        clock: Callable[[], float] = time.time,
        board: HealthStore | None = None,
        random: chance.Random | None = None,
        meter: Meter = SILENT,
    ) -> None:
        """`concurrency`: answers at once on one account; a request waits for a place for `wait_s`
        seconds at most.
        """
        super().__init__(
            accounts, concurrency, wait_s, order, clock, board or LocalHealthStore(), meter
        )
        self._uniform = random.uniform if random is not None else jitter.uniform

    # Learning

    def failed(
        self, account: Account, quota: QuotaClass, error: GatewayError, *, took_s: float = 0.0
    ) -> None:
        """Learn from a failure, by the rules: the account may cool down for this kind of request,
        or be set aside.

        A quota that the upstream has named cools down what it is for, whatever kind of request has
        met it. What has begun `took_s` seconds ago teaches nothing if the account was found, or
        declared, good since.
        """
        rule = policy_for(error)
        if rule.then is Then.ENDS:
            return
        with self._lock:
            member = self._pooled(account.account_key)
            if member is None:
                return
            now = self._clock()
            met = error.media if isinstance(error, QuotaExhausted) and error.media else (quota,)
            if any(member.is_cleared_since(scope, now - took_s) for scope in ("", *met)):
                return
            self._note_error(member, error, now)
            changes: list[AccountHealth | None] = []
            if rule.refuses and member.account.fingerprint() == account.fingerprint():
                changes = [refused(member, error, now)]
            elif rule.cooldown is not None:
                changes = [
                    cooled(member.standing(each), rule.cooldown, error, now, self._uniform)
                    for each in met
                ]
            news = [change for change in changes if change is not None]
            for change in news:
                member.standings[change.quota] = change
            if news:
                self._serve(now)
        for change in news:
            self._telling.tell(change, now, error.safe_words)

    def succeeded(self, account: Account, quota: QuotaClass) -> None:
        """The upstream has begun to answer: a cooldown that is over, and the strikes before it, are
        forgotten.
        """
        with self._lock:
            member = self._pooled(account.account_key)
            known = member.standings.get(quota) if member is not None else None
            if member is None or known is None or known.state == "ready":
                return
            now = self._clock()
            if known.cools_until(now) is not None:
                return  # this answer had begun before
            self._note_error(member, None, now)
            change = member.standings[quota] = AccountHealth(
                account.account_key, quota, changed_at=now
            )
            self._serve(now)
        self._telling.tell(change, now)

    def accepted(self, account: Account) -> None:
        """A probe has found the credential good."""
        with self._lock:
            member = self._pooled(account.account_key)
            if (
                member is None
                or member.refusal is None
                or member.account.fingerprint() != account.fingerprint()
            ):
                return
            now = self._clock()
            self._note_error(member, None, now)
            change = member.standings[""] = AccountHealth(account.account_key, "", changed_at=now)
            self._serve(now)
        self._telling.tell(change, now)

    def refresh(self, standings: Iterable[AccountHealth]) -> None:
        """Take over what other workers have learnt since."""
        with self._lock:
            now = self._clock()
            taken = [standing for standing in standings if self._take_over(standing, now)]
            if taken:
                self._serve(now)

    def share_again(self) -> None:
        """Tell the others what they were not told yet, or could not be. Raises the GatewayError of
        the board.
        """
        self._telling.share_again(lambda account_id: account_id in self._members)

    # Changing

    def replace(self, accounts: Iterable[Account], *, disabled: Collection[str] = ()) -> None:
        """From now on these are the accounts, in this order. A changed credential forgets that the
        old one was refused.

        What is another seat under the same id begins anew.
        """
        with self._lock:
            now = self._clock()
            changes: list[AccountHealth] = []
            members: dict[str, PooledAccount] = {}
            for account in accounts:
                member = self._pooled(account.account_key) or PooledAccount(account)
                if (
                    member.refusal is not None
                    and member.account.fingerprint() != account.fingerprint()
                ):
                    change = member.standings[""] = AccountHealth(
                        account.account_key, "", changed_at=now
                    )
                    changes.append(change)
                member.account = account
                member.is_active = account.id not in disabled
                members[account.id] = member
            self._members = members
            self._serve(now)
        for change in changes:
            self._telling.share(change)

    def enable(self, account_id: str) -> None:
        self._switch(account_id, is_active=True)

    def disable(self, account_id: str) -> None:
        """Lend this account to nobody any more; what runs on it goes on."""
        self._switch(account_id, is_active=False)

    def _switch(self, account_id: str, *, is_active: bool) -> None:
        with self._lock:
            member = self._members.get(account_id)
            if member is not None:
                member.is_active = is_active
                self._serve(self._clock())

    def clear_cooldown(self, account_id: str) -> None:
        """Forget every cooldown of an account, and the strikes that led to it."""
        with self._lock:
            member = self._members.get(account_id)
            if member is None:
                return
            now = self._clock()
            kept = {scope: known for scope, known in member.standings.items() if scope == ""}
            changes = [
                AccountHealth(member.account.account_key, scope, changed_at=now)
                for scope in member.standings.keys() - kept.keys()
            ]
            member.standings = kept | {change.quota: change for change in changes}
            self._serve(now)
        for change in changes:
            self._telling.share(change)

    # How

    def _pooled(self, account_key: str) -> PooledAccount | None:
        """The account with this seat, if it is still there. The lock is held."""
        member = self._members.get(id_of(account_key))
        return member if member is not None and member.account.account_key == account_key else None

    def _take_over(self, standing: AccountHealth, now: float) -> bool:
        member = self._pooled(standing.account_id)
        news = taken_over(member, standing, now) if member is not None else None
        if member is None or news is None:
            return False
        member.standings[news.quota] = news
        return True

    def _note_error(self, member: PooledAccount, error: GatewayError | None, now: float) -> None:
        member.last_error = error.own_words if error is not None else None
        member.last_error_said = error.safe_words if error is not None else None
        self._telling.note_error(member.account.id, member.last_error, now, member.last_error_said)
