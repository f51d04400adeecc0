"""The contract of a service: asked about every request, it replies to those that are its own.

A further service is one package beside `widget` and one line in `services`. Scripts, records,
delays, framing, cuts, TLS and the control endpoint come with the handler and the server.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gbproxy.simulator.http.connection import Request
from gbproxy.simulator.http.layout import Layout
from gbproxy.simulator.scripting.actions import AnswerAction, Script
from gbproxy.simulator.scripting.switches import FramingSwitches

JsonObject = dict[str, Any]
SwitchesT = TypeVar("SwitchesT", bound=FramingSwitches)
SwitchesT_contra = TypeVar("SwitchesT_contra", bound=FramingSwitches, contravariant=True)


@dataclass
class _QueuedScript:
    name: str
    script: Script
    uses_left: float
    account_id: str | None


class ScriptQueue:
    """Scripts in the order of queueing. Not locked: the caller is."""

    def __init__(self) -> None:
        self._queued: list[_QueuedScript] = []

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, name: str, script: Script, times: float, account_id: str | None) -> None:
        """Queue a script for the next `times` calls of that name, of one account or of all."""
        self._queued.append(_QueuedScript(name, script, times, account_id))

    def clear(self) -> None:
        self._queued.clear()

    def take(self, name: str, account_id: str | None) -> Script | None:
        """The first script for this call and account, which thereby is used once."""
        for queued in self._queued:
            if queued.name == name and queued.account_id in (None, account_id):
                queued.uses_left -= 1
                if queued.uses_left <= 0:
                    self._queued.remove(queued)
                return queued.script
        return None


@dataclass
class Context:
    """Everything that the services of one simulator share.

    `now` is the server's own time as seconds since the epoch; `lock` is held whenever a service is
    called; `origin` is the simulator's own address, known once it listens.
    """

    now: Callable[[], float]
    rng: random.Random
    lock: threading.Condition
    scripts: ScriptQueue = field(default_factory=ScriptQueue)
    origin: str = ""


class AnswerStream(Protocol):
    """A model's answer while it is sent, element by element."""

    def elements(self, action: AnswerAction) -> Iterator[JsonObject]:
        """The elements that say this, in order. Called when their turn has come, without lock."""

    def begin(self) -> None:
        """The answer is about to be sent. Called with the lock held."""

    def end(self) -> None:
        """The answer was sent, or its peer has left. Called with the lock held."""


@dataclass(frozen=True)
class Reply:
    """The script that answers; `layout` for elements, `stream` for what a model says."""

    script: Script
    layout: Layout | None = None
    stream: AnswerStream | None = None


@dataclass(frozen=True)
class Call:
    """A request that a service knows as its own, before it is answered.

    `name` is what scripts and records call it, `account_id` the account that asks; `delayed` is
    False for calls that `control_delay_s` leaves alone.
    """

    name: str
    account_id: str | None
    reply: Callable[[], Reply]
    delayed: bool = True


class Service(Protocol[SwitchesT_contra]):
    """One service of the simulator."""

    @property
    def hosts(self) -> Collection[str]:
        """The names by which its clients reach it; the TLS certificate is for them too."""

    @property
    def streams(self) -> Collection[str]:
        """The names of its calls whose answers have elements."""

    def accept(self, request: Request, switches: SwitchesT_contra) -> Call | None:
        """The request as a call of this service; None if it is another's. The lock is held."""
