"""What is told beside the accounts of a paste: that something was to be expected and is not among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from gbproxy.domain.pasted.clues import Clue

_MOST = 10

_SEVERAL_JARS = (
    "the text holds cookies of which nobody can say whose they are: they were given to no account; paste them together with "
    "the one request, or the one address, that they belong to"
)
_LONE_SECOND = (
    "a __Host-C_OSES was left out, as it was not found together with the __Secure-C_SES that counts: the two belong together; "
    "copy both from the same request or the same table"
)


def of(clues: Sequence[Clue], drafts: Sequence[Clue]) -> Iterator[str]:
    """About a paste of these clues, which were combined to these drafts of accounts."""
    yield from islice(dict.fromkeys(_doubts(clues, drafts)), _MOST)
    taken = {draft.cookies.secure_c_ses for draft in drafts}
    loose = [clue.cookies for clue in clues if clue.csesidx is None and clue.cookies.secure_c_ses]
    left_out = [jar for jar in loose if jar.secure_c_ses not in taken]
    # Of those of one account the last count.
    if left_out and (loose[-1] in left_out or not any(draft.csesidx for draft in drafts)):
        yield _SEVERAL_JARS
    if _lacks_a_second(clues, drafts):
        yield _LONE_SECOND


def _doubts(clues: Sequence[Clue], drafts: Sequence[Clue]) -> Iterator[str]:
    with_cookies = {draft.csesidx for draft in drafts if draft.cookies.secure_c_ses}
    is_all = bool(drafts) and all(draft.cookies.secure_c_ses for draft in drafts)
    for clue in clues:
        if clue.doubt is None:
            continue
        # A request without cookies says nothing where those of another are at hand; a value that is damaged may be newer.
        is_settled = is_all or (clue.csesidx is not None and clue.csesidx in with_cookies)
        if not is_settled or clue.doubt.kind in ("damaged", "mixed", "json"):
            yield str(clue.doubt)


def _lacks_a_second(clues: Sequence[Clue], drafts: Sequence[Clue]) -> bool:
    """Whether an account is without a second cookie, though the paste has one that could be its own or nobody's."""
    seconds = {clue.csesidx for clue in clues if clue.cookies.host_c_oses}
    loose_second = any(clue.cookies.host_c_oses and not clue.cookies.secure_c_ses for clue in clues if not clue.csesidx)
    return any(
        draft.cookies.secure_c_ses is not None
        and draft.cookies.host_c_oses is None
        and (loose_second or draft.csesidx in seconds)
        for draft in drafts
    )
