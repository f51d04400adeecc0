"""Rows that stand beside each other, each with one value: which of them are one jar's, or one account's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

from gbproxy.domain.pasted.clues import Clue
from gbproxy.domain.pasted.cookies import Cookies
from gbproxy.domain.pasted.doubts import Doubt


def combined(rows: Sequence[Clue]) -> Iterator[Clue]:
    """What the rows say together.

    Where a value stands there twice and differs, they are several jars': one after another if each has the same rows in the
    same order. Otherwise a second cookie might be put to another's first, and is left out.
    """
    doubts = [Clue(doubt=row.doubt) for row in rows if row.doubt]
    told = [(name, value) for row in rows for name, value in row.given().items()]
    names = [name for name, _ in told]
    if len(set(told)) == len(set(names)):
        yield _one(dict(told))
    elif length := _period(names):
        for at in range(0, len(told), length):
            yield _one(dict(told[at : at + length]))
    else:
        yield from (_one({name: value}) for name, value in told if name != "host_c_oses")
        yield Clue(doubt=Doubt("mixed"))
    yield from doubts


def _period(names: list[str]) -> int:
    """After how many rows the same ones come again; 0 when they do not."""
    length = len(set(names))
    repeats, rest = divmod(len(names), length)
    return length if not rest and names == names[:length] * repeats else 0


def _one(values: dict[str, str]) -> Clue:
    cookies = Cookies(values.get("secure_c_ses"), values.get("host_c_oses"))
    return Clue(csesidx=values.get("csesidx"), config_id=values.get("config_id"), cookies=cookies)


def merged(clues: Sequence[Clue]) -> Clue:
    """Several clues to one account as one, the later ones over the earlier."""
    return reduce(Clue.overlaid, clues, Clue())
