"""What a worker knows of each account's models and tools, found by account and by subject."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from gbproxy.domain.models import AccountCapabilities, Tool
from gbproxy.storage.account_health import Finding

CONFIGURATION = "configuration"
"""The subject of what an account's live configuration says."""

MODEL = "model:"
"""The beginning of a model's subject."""

_MAX_SUBJECTS = 500  # of each account: clients may invent names


class KnownFindings:
    """Changed under its owner's lock; `find`, `has` and `capabilities` may be asked without."""

    def __init__(self) -> None:
        self._findings: dict[str, dict[str, Finding]] = defaultdict(dict)  # by key, by subject
        # By subject: the keys of accounts that have refused it, also longer ago.
        self._refusing: dict[str, set[str]] = {}
        # By key; replaced, never changed.
        self.capabilities: Mapping[str, AccountCapabilities] = {}

    def find(self, account_key: str, subject: str) -> Finding | None:
        return self._findings.get(account_key, {}).get(subject)

    def has(self, account_key: str) -> bool:
        return account_key in self._findings

    def account_keys(self) -> Collection[str]:
        return self._findings.keys()

    def of_account(self, account_key: str) -> Sequence[Finding]:
        return tuple(self._findings.get(account_key, {}).values())

    def refusing(self, subject: str) -> Collection[str]:
        """The keys of accounts that have refused it, also longer ago."""
        return tuple(self._refusing.get(subject, ()))

    def put(self, finding: Finding) -> None:
        of_account = self._findings[finding.account_key]
        of_account.pop(finding.subject, None)
        of_account[finding.subject] = finding
        if finding.subject == CONFIGURATION:
            self.capabilities = {
                **self.capabilities,
                finding.account_key: AccountCapabilities.from_json(configuration_of(finding.text)),
            }
        elif len(of_account) > _MAX_SUBJECTS:
            oldest = next(subject for subject in of_account if subject.startswith(MODEL))
            del of_account[oldest]
            self._note_refusing(oldest, finding.account_key, is_refused=False)
        self._note_refusing(
            finding.subject, finding.account_key, is_refused=finding.text == "refused"
        )

    def _note_refusing(self, subject: str, account_key: str, *, is_refused: bool) -> None:
        if is_refused and subject.startswith(MODEL):
            self._refusing.setdefault(subject, set()).add(account_key)
        elif subject in self._refusing:
            self._refusing[subject].discard(account_key)
            if not self._refusing[subject]:
                del self._refusing[subject]


def model_subject(upstream_id: str) -> str:
    return MODEL + upstream_id


def tool_subject(tool: Tool) -> str:
    return f"tool:{tool}"


def configuration_of(text: str) -> Mapping[str, object]:
    """What a finding about the configuration says; empty for what is not a JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
