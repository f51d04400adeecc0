"""The accounts that are administered: those of the environment and those that are stored, as one list for the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gbproxy.domain.account import AccountState, QuotaClass

Source = Literal["env", "db"]
CheckStatus = Literal["valid", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as administrators see it: without its cookies. Times are Unix seconds.

    `created_at` is None for accounts of the environment; `in_flight` is the sum over all workers, at most a second old.
    """

    id: str
    name: str
    csesidx: str
    config_id: str
    is_active: bool
    source: Source
    created_at: float | None
    state: AccountState
    cooling_until: Mapping[QuotaClass, float]
    in_flight: int
    last_used_at: float | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of an account's credential. `checked_at` (Unix seconds) is None, and `detail` empty, before any look."""

    id: str
    name: str
    status: CheckStatus
    checked_at: float | None
    detail: str


class Roster:
    """Safe for use by many threads at once. All calls raise StorageUnavailable while the database is away."""

    def list(self) -> Sequence[AccountRecord]:
        """Those of the environment first, then the stored ones, the oldest first."""
        raise NotImplementedError

    def get(self, account_id: str) -> AccountRecord:
        """Raises NotFound."""
        raise NotImplementedError

    def add(self, given: Mapping[str, object]) -> AccountRecord:
        """Store an account: name, secure_c_ses, csesidx, config_id (or team_id), host_c_oses and is_active where wanted.

        Unknown fields are passed over. Raises BadRequest, whose `param` is the first field that is wrong and whose message
        says what is wrong with each; Conflict when the name, or the account itself, is there already.
        """
        raise NotImplementedError

    def change(self, account_id: str, given: Mapping[str, object]) -> AccountRecord:
        """Change what is given and keep the rest; fields as for `add`. An empty host_c_oses takes it away.

        Raises BadRequest, NotFound and Conflict, the last also for anything but `is_active` of an account of the environment.
        """
        raise NotImplementedError

    def enable(self, account_id: str, is_active: bool) -> AccountRecord:
        """Let it be used, or no longer: what runs on it goes on. Raises NotFound."""
        raise NotImplementedError

    def remove(self, account_id: str) -> None:
        """With all that is stored of it; what runs on it goes on. Raises NotFound; Conflict for one of the environment."""
        raise NotImplementedError

    def clear_cooldown(self, account_id: str) -> AccountRecord:
        """Forget every cooldown of it, in all workers. Raises NotFound."""
        raise NotImplementedError

    def check(self, account_id: str) -> Check:
        """Ask the upstream now whether the credential is good, and remember what it says. Raises NotFound.

        An upstream that cannot be asked is no error: the status is `unknown` then, and `detail` says why.
        """
        raise NotImplementedError

    def checks(self) -> Sequence[Check]:
        """What is known of each account's credential, in the order of `list`."""
        raise NotImplementedError

    def take_over(self) -> None:
        """Give the pool what was changed since the last call, by whichever worker; called twice a second by each."""
        raise NotImplementedError
