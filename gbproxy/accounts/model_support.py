"""The models and tools that each account supports, learnt from its live configuration and from what
it has accepted or refused.

Requests ask for it, so it is kept in memory; `sync` exchanges it with the other workers.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Literal

from gbproxy.accounts.known_findings import (
    CONFIGURATION,
    MODEL,
    KnownFindings,
    configuration_of,
    model_subject,
    tool_subject,
)
from gbproxy.domain.account import Account, id_of
from gbproxy.domain.models import ALL_TOOLS, NOTHING_SAID, AccountCapabilities, Tool
from gbproxy.storage.account_health import Finding, SupportRows

Verdict = Literal["taken", "doubted", "guessed", "refused", "forgotten"]
"""`doubted`: it was accepted before, and refused once in words that may be about something else.
`guessed`: a refusal that named nothing ended when this tool was left out; the configuration knows
better.
"""

REFUSED_S = 3600.0  # then it is tried again
_TAKEN_S = 86_400.0  # then it is noted anew
_KEPT_S = 7 * 86_400.0
_HOLDS_S = 86_400.0
_OVERLAP_S = 300.0  # for other machines' clocks, and for rows that were being written
_LEAST_BETWEEN_S = 1.0


class ModelSupport:
    """Safe for use by many threads at once. `clock`: Unix seconds."""

    def __init__(
        self, rows: SupportRows | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        """`rows`: None keeps the findings in this worker."""
        self._rows = rows
        self._clock = clock
        self._lock = threading.Lock()
        self._known = KnownFindings()
        self._unpublished: dict[tuple[str, str], Finding] = {}
        self._read_at: float | None = None
        self._forgot_at = 0.0

    # Asking

    def refuses(self, account: Account, upstream_id: str | None) -> bool:
        """True when this account is known not to have this model."""
        if upstream_id is None:
            return False
        capabilities = self._known.capabilities.get(account.account_key, NOTHING_SAID)
        return (
            upstream_id in capabilities.disabled
            or self._verdict(account.account_key, model_subject(upstream_id)) == "refused"
        )

    def without_model(self, upstream_id: str | None) -> Collection[str]:
        """The ids of accounts that are known not to have this model.

        Where one account's configuration lists it, those whose configuration does not lack it.
        """
        if upstream_id is None:
            return ()
        known = self._known.capabilities
        listing = {account_key for account_key, each in known.items() if upstream_id in each.listed}
        lacking = {
            account_key
            for account_key, each in known.items()
            if upstream_id in each.disabled
            or (listing and each.listed and account_key not in listing)
        }
        with self._lock:
            account_keys = self._known.refusing(model_subject(upstream_id))
        lacking.update(
            account_key
            for account_key in account_keys
            if self._verdict(account_key, model_subject(upstream_id)) == "refused"
        )
        return {id_of(account_key) for account_key in lacking}

    def without_tools(self, tools: Collection[Tool]) -> Collection[str]:
        """The ids of accounts for which one of these tools is known to be off."""
        with self._lock:
            account_keys = {*self._known.capabilities, *self._known.account_keys()}
        return {
            id_of(account_key)
            for account_key in account_keys
            if not self._tools_off(account_key).isdisjoint(tools)
        }

    def tools_off(self, account: Account) -> frozenset[Tool]:
        """The tools that requests to this account must leave out."""
        return self._tools_off(account.account_key)

    def tools_on(self, account: Account) -> frozenset[Tool]:
        """The tools that this account's configuration leaves on."""
        return self._known.capabilities.get(account.account_key, NOTHING_SAID).tools_on

    def capabilities(self, accounts: Iterable[Account]) -> list[AccountCapabilities | None]:
        """The live configuration of each account; None where it was never read."""
        return [self._known.capabilities.get(account.account_key) for account in accounts]

    def tried(self, account: Account) -> dict[str, Finding]:
        """What still counts of the models that it was asked for, by upstream id: they were taken,
        doubted or refused.
        """
        key = account.account_key
        with self._lock:
            found = self._known.of_account(key)
        return {
            each.subject.removeprefix(MODEL): each
            for each in found
            if each.subject.startswith(MODEL)
            and self._verdict(key, each.subject) not in (None, "forgotten")
        }

    def _tools_off(self, account_key: str) -> frozenset[Tool]:
        capabilities = self._known.capabilities.get(account_key, NOTHING_SAID)
        verdicts = (
            {tool: self._verdict(account_key, tool_subject(tool)) for tool in ALL_TOOLS}
            if self._known.has(account_key)
            else {}
        )
        named = {tool for tool, verdict in verdicts.items() if verdict == "refused"}
        guessed = {tool for tool, verdict in verdicts.items() if verdict == "guessed"}
        return frozenset(capabilities.tools_off | named | (guessed - capabilities.tools_on))

    def _verdict(self, account_key: str, subject: str) -> str | None:
        found = self._known.find(account_key, subject)
        if found is None:
            return None
        age_s = self._clock() - found.noted_at
        return found.text if found.text == "taken" or age_s < REFUSED_S else None

    # Learning

    def model_accepted(self, account: Account, upstream_id: str | None) -> None:
        if upstream_id is not None:
            self._note(account.account_key, model_subject(upstream_id), "taken")

    def tools_accepted(self, account: Account, tools: Iterable[Tool]) -> None:
        for tool in tools:
            self._note(account.account_key, tool_subject(tool), "taken")

    def model_refused(self, account: Account, upstream_id: str | None, *, is_named: bool) -> None:
        """`is_named`: the refusal named the model; else it may have been about the question, if
        the model was accepted before.
        """
        if upstream_id is not None:
            subject = model_subject(upstream_id)
            is_doubtful = not is_named and self._verdict(account.account_key, subject) == "taken"
            self._note(account.account_key, subject, "doubted" if is_doubtful else "refused")

    def tool_refused(self, account: Account, tool: Tool, *, is_named: bool) -> None:
        """`is_named`: the refusal named this tool; else it may have been about another, or about
        the question.
        """
        if tool in self.tools_on(account):  # refused to this question only
            return
        subject = tool_subject(tool)
        is_doubtful = self._verdict(account.account_key, subject) == "taken"
        self._note(
            account.account_key,
            subject,
            "doubted" if is_doubtful else "refused" if is_named else "guessed",
        )

    def _note(self, account_key: str, subject: str, verdict: Verdict) -> None:
        now = self._clock()
        with self._lock:
            known = self._known.find(account_key, subject)
            if (
                verdict == "taken"
                and known is not None
                and known.text == verdict
                and now - known.noted_at < _TAKEN_S
            ):
                return
            self._add(Finding(account_key, subject, verdict, now))

    def forget(self, account: Account) -> None:
        """Forget all that is known of this account, in every worker; its configuration is read
        anew.
        """
        with self._lock:
            for each in self._known.of_account(account.account_key):
                self._add(Finding(each.account_key, each.subject, "forgotten", self._clock()))

    # The live configuration

    def looked_at(self, account: Account) -> tuple[float, bool] | None:
        """The Unix seconds of the latest read of this account's configuration, and True if it
        succeeded. None: there was none with its present credential.
        """
        with self._lock:
            found = self._known.find(account.account_key, CONFIGURATION)
        value = configuration_of(found.text) if found is not None else {}
        if found is None or value.get("credential") != account.fingerprint():
            return None
        return found.noted_at, value.get("is_read") is True

    def note_capabilities(self, account: Account, capabilities: AccountCapabilities | None) -> None:
        """Note what the configuration says. None: it could not be read; what it said before
        counts for a day.
        """
        now = self._clock()
        with self._lock:
            found = self._known.find(account.account_key, CONFIGURATION)
            read_at = configuration_of(found.text).get("read_at") if found is not None else None
            is_read = capabilities is not None
            if is_read or not isinstance(read_at, float) or now - read_at > _HOLDS_S:
                read_at = now if is_read else None
            elif found is not None:
                capabilities = AccountCapabilities.from_json(configuration_of(found.text))
            value = {"credential": account.fingerprint(), "is_read": is_read, "read_at": read_at}
            text = json.dumps(value | (capabilities or NOTHING_SAID).to_json())
            self._add(Finding(account.account_key, CONFIGURATION, text, now))

    # Sharing

    def sync(self) -> None:
        """Publish what is new here and adopt what others know. Raises StorageUnavailable."""
        if self._rows is None:
            return
        now = self._clock()
        read_at = self._read_at
        if read_at is not None and not self._unpublished and abs(now - read_at) < _LEAST_BETWEEN_S:
            return
        with self._lock:
            unpublished = dict(self._unpublished)
        self._rows.keep(unpublished.values())
        found = self._rows.read(now - _KEPT_S if read_at is None else read_at - _OVERLAP_S)
        self._read_at = now
        with self._lock:
            for key, finding in unpublished.items():
                if self._unpublished.get(key) is finding:
                    del self._unpublished[key]
            for finding in found:
                known = self._known.find(finding.account_key, finding.subject)
                if known is None or known.noted_at < finding.noted_at:
                    self._known.put(finding)

    def forget_old(self) -> None:
        """Delete findings that are out of date: for one worker of all; cheap to call often. Raises
        StorageUnavailable.
        """
        now = self._clock()
        if self._rows is not None and now - self._forgot_at > REFUSED_S:
            self._forgot_at = now
            self._rows.forget(taken_before=now - _KEPT_S, others_before=now - _HOLDS_S)

    def _add(self, finding: Finding) -> None:
        """Keep this, and publish it at the next `sync`. The lock is held."""
        self._known.put(finding)
        self._unpublished[finding.account_key, finding.subject] = finding
