"""Rows that stand beside each other, each with one value: which of them are one jar's, or one
account's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce

from gbproxy.account_admin.importing import further
from gbproxy.account_admin.importing.cookies import MAX_OTHERS, Cookies
from gbproxy.account_admin.importing.doubts import Doubt
from gbproxy.account_admin.importing.partial_account import PartialAccount


def combined(rows: Sequence[PartialAccount]) -> Iterator[PartialAccount]:
    """What the rows say together.

    Where a value stands there twice and differs, they are several jars': one after another if each
    has the same rows in the same order. Otherwise a second cookie might be put to another's first,
    and is left out.
    """
    told = [
        (name, value) for row in rows for name, value in (row.given() | row.further.given()).items()
    ]
    names = [name for name, _ in told]
    if len(set(told)) == len(set(names)):
        yield _one(dict(told), _others(rows))
    elif length := _period(names):
        for at in range(0, len(told), length):
            yield _one(dict(told[at : at + length]))
    else:
        yield from (_one({name: value}) for name, value in told if name in _ALONE)
        yield PartialAccount(doubt=Doubt("mixed"))
    yield from _doubts(rows, has_first="secure_c_ses" in names)


# what says something where nobody knows what is beside it
_ALONE = frozenset({"secure_c_ses", "csesidx", "config_id"})


def _others(rows: Sequence[PartialAccount]) -> tuple[tuple[str, str], ...]:
    """The further cookies of one jar, but those that stand there with two values."""
    pairs = dict.fromkeys(pair for row in rows for pair in row.cookies.others)
    times = Counter(name for name, _ in pairs)
    return tuple(pair for pair in pairs if times[pair[0]] == 1)[:MAX_OTHERS]


def _doubts(rows: Sequence[PartialAccount], *, has_first: bool) -> Iterator[PartialAccount]:
    """What is in doubt; that cookies are the consumer app's is told once, and not of a browser that
    has both.
    """
    is_told = has_first
    for row in rows:
        if row.doubt is not None and not (is_told and row.doubt.kind == "consumer"):
            is_told = is_told or row.doubt.kind == "consumer"
            yield PartialAccount(doubt=row.doubt)


def _period(names: list[str]) -> int:
    """After how many rows the same ones come again; 0 when they do not."""
    length = len(set(names))
    repeats, rest = divmod(len(names), length)
    return length if not rest and names == names[:length] * repeats else 0


def _one(values: dict[str, str], others: tuple[tuple[str, str], ...] = ()) -> PartialAccount:
    cookies = Cookies(values.get("secure_c_ses"), values.get("host_c_oses"), others)
    return PartialAccount(
        csesidx=values.get("csesidx"),
        config_id=values.get("config_id"),
        cookies=cookies,
        further=further.of(values),
    )


def merged(partials: Sequence[PartialAccount]) -> PartialAccount:
    """Several partials to one account as one, the later ones over the earlier."""
    return reduce(PartialAccount.overlaid, partials, PartialAccount())
