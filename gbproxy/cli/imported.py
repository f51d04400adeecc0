"""What an import has come to, for people: one line for each account that was found, and what is
still missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gbproxy.cli.terminal import cell, sentence

_DONE = {
    "created": "added",
    "changed": "renewed",
    "unchanged": "as it was",
    "incomplete": "not whole yet",
}
_GOOD = ("created", "changed", "unchanged")


def is_good(found: Mapping[str, Any]) -> bool:
    """Whether this account is there now, as it was found."""
    return found.get("result") in _GOOD


def is_doubtful(answer: Mapping[str, Any]) -> bool:
    """Whether nothing has come of a paste in which something was to be expected."""
    return bool(answer.get("warnings")) and not (answer.get("created") or answer.get("changed"))


def warnings(answer: Mapping[str, Any]) -> Iterator[str]:
    """What was to be expected in the paste and is not among what was found."""
    for warning in answer.get("warnings") or ():
        yield f"Warning: {cell(warning)}"


def lines(found: Mapping[str, Any], *, dry_run: bool) -> Iterator[str]:
    """About one account."""
    result = cell(found.get("result"))
    told = _DONE.get(result, result)
    name = found.get("name") or (
        f"csesidx {found['csesidx']}" if found.get("csesidx") else "An account"
    )
    would = "would be " if dry_run and result in ("created", "changed") else ""
    yield f"{cell(name)}: {would}{told}"
    if found.get("reason"):
        yield f"  {sentence(cell(found['reason']))}"
    for wrong in found.get("wrong") or ():
        yield f"  {cell(wrong.get('field'))}: {cell(wrong.get('reason'))}"
    for missing in found.get("missing") or ():
        optional = "" if missing.get("required") else " (it may have none)"
        yield f"  {cell(missing.get('field'))} is missing{optional}: {cell(missing.get('where'))}"
