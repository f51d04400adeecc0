"""Which call a function's response answers: by its id, else the first call of that name."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class OpenCalls:
    """The calls of a model's turn that are not answered yet. Programs that leave ids out get some
    made up, the same for the same history.
    """

    _turn: int = 0
    _count: int = 0  # in this turn
    _by_name: dict[str, deque[str]] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)

    def begin_turn(self) -> None:
        self._turn += 1
        self._count = 0
        self._by_name.clear()
        self._answered.clear()

    def add(self, name: str, call_id: str | None) -> str:
        """The call's id."""
        self._count += 1
        found = call_id or f"call-{self._turn}-{self._count}"
        self._by_name.setdefault(name, deque()).append(found)
        return found

    def answer(self, name: str, call_id: str | None) -> str:
        """The id of the call that is answered; the name where there was none."""
        waiting = self._by_name.get(name, deque())
        while not call_id and waiting:
            first = waiting.popleft()
            call_id = first if first not in self._answered else None
        found = call_id or name
        self._answered.add(found)
        return found
