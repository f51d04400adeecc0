"""Plans a run: the loads that each subject meets, in order.

Subjects that are compared run side by side, each idle while another is measured, and take turns in
each round of a load: what the machine does meanwhile befalls them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.loads import ALL, BURST, PACED, SHORT, Load
from bench.subjects import Variant

OWN = "gbproxy"
_PEERS = ("bare", "fastapi+aiohttp", "fastapi+httpx")

_ARRAY: Mapping[Variant, tuple[Load, ...]] = {
    **{
        Variant(name, "openai"): tuple(load for load in ALL if name in load.subjects)
        for name in ("direct", "nginx")
    },
    **{
        Variant(name, "array", calls=calls): tuple(
            load for load in ALL if name in load.subjects and (calls == 1 or load.with_sessions)
        )
        for name in _PEERS
        for calls in (1, 3)
    },
    Variant(OWN, "array"): ALL,
}
_EVENTS: Mapping[Variant, tuple[Load, ...]] = {
    Variant("fastapi+httpx", "sse", calls=3): (BURST, PACED),
    Variant(OWN, "sse"): (BURST, PACED),
}
_TLS: Mapping[Variant, tuple[Load, ...]] = {
    Variant("nginx", "openai", tls=True): (SHORT, PACED),
    Variant("fastapi+httpx", "array", tls=True, calls=3): (SHORT, PACED),
    Variant(OWN, "array", tls=True): (SHORT, PACED),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Subjects that run at the same time, with what each of them meets."""

    loads: Mapping[Variant, tuple[Load, ...]]

    @property
    def variants(self) -> tuple[Variant, ...]:
        return tuple(self.loads)

    def steps(self) -> Iterator[tuple[int, Load, Variant]]:
        """The measurements in their order: each load in rounds, in each round all subjects; every
        second round begins from the other end, so that nobody always comes first.
        """
        for load in ALL:
            here = [
                (v, own)
                for v, loads in self.loads.items()
                for own in loads
                if own.name == load.name
            ]
            for number in range(max((own.rounds for _, own in here), default=0)):
                for variant, own in here if number % 2 == 0 else reversed(here):
                    yield number, own, variant


def stages(only_subjects: Sequence[str], only_loads: Sequence[str]) -> list[Stage]:
    """List the stages of a run; of the lesser ones two rounds do."""
    return [
        stage
        for part in (_ARRAY, _less(_EVENTS), _less(_TLS))
        if (stage := _chosen(part, only_subjects, only_loads)).loads
    ]


def _less(part: Mapping[Variant, tuple[Load, ...]]) -> Mapping[Variant, tuple[Load, ...]]:
    return {v: tuple(replace(load, rounds=2) for load in loads) for v, loads in part.items()}


def _chosen(
    part: Mapping[Variant, tuple[Load, ...]],
    only_subjects: Sequence[str],
    only_loads: Sequence[str],
) -> Stage:
    chosen = {
        variant: tuple(load for load in loads if not only_loads or load.name in only_loads)
        for variant, loads in part.items()
        if not only_subjects or variant.subject in only_subjects
    }
    return Stage({variant: loads for variant, loads in chosen.items() if loads})
