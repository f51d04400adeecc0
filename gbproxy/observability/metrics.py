"""Counts the metrics of a server for Prometheus.

Of several workers each counts in files of its own (multiprocess.py), and any of them renders the
sum of all. prometheus_client chooses between files and memory at its import, by an environment
variable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gbproxy.domain.account import AccountView, CredentialMoments
from gbproxy.observability import definitions as f
from gbproxy.observability import exposition, multiprocess, names
from gbproxy.observability.meter import AnswerKind, Meter, Outcome
from gbproxy.observability.request_context import Phase, RequestContext

# Google's canonical codes; any other status counts as "other". Source: google/rpc/code.proto
_STATUS_WORDS = frozenset((
    "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
    "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
    "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
))  # fmt: skip
_OPERATION = (names.CHAT, names.GOOGLE)
# Labels of the previous version, counted as well for one release: dashboards may still use them.
_FORMER_OUTCOMES: Mapping[Outcome, str] = {"miss": "missed", "contended": "taken"}
_INITIAL = (  # exposed as 0 from the start, so that the first event shows as an increase
    *((f.CLIENTS_GONE, phase.value) for phase in Phase),
    *((f.CONVERSATIONS, outcome) for outcome in get_args(Outcome)),
    *((f.CONVERSATIONS, former) for former in _FORMER_OUTCOMES.values()),
    *((f.ANSWERS, kind) for kind in get_args(AnswerKind)),
)


class Metrics(Meter):
    """All metrics of one server, the other processes' included."""

    def __init__(self, models: Iterable[str]) -> None:
        """`models`: the ids of the catalogue; every other name counts as "other"."""
        folder = os.environ.get(multiprocess.VARIABLE)
        self._folder = Path(folder) if folder else None
        if self._folder is not None:
            multiprocess.reserve_files(self._folder)
        self._models = frozenset(models)
        self._accounts: Callable[[], Sequence[AccountView]] = tuple
        self._database_is_up: Callable[[], bool] = lambda: True
        self._credentials: Callable[[], Mapping[str, CredentialMoments]] = dict
        self._registry = CollectorRegistry()
        self._metrics = {family.name: _create(family, self._registry) for family in f.COUNTED}
        self._children: dict[tuple[str, ...], Any] = {}
        self._requests: dict[tuple[str, str, int, str], _Request] = {}
        for family, label in _INITIAL:
            self._child(family, label)

    def observe(
        self,
        accounts: Callable[[], Sequence[AccountView]],
        database_is_up: Callable[[], bool],
        credentials: Callable[[], Mapping[str, CredentialMoments]] = dict,
    ) -> None:
        self._accounts = accounts
        self._database_is_up = database_is_up
        self._credentials = credentials

    def _child(self, family: f.Family, *labels: str) -> Any:
        """The counter, gauge or histogram with these labels. Cached: `labels` takes longer than
        counting.
        """
        key = (family.name, *labels)
        child = self._children.get(key)
        if child is None:
            metric = self._metrics[family.name]
            child = self._children[key] = metric.labels(*labels) if labels else metric
        return child

    def request_done(self, context: RequestContext, surface: str, status: int) -> None:
        facts = context.log_fields
        is_gone = "client_gone" in facts
        code = facts.get("code") or ("client_gone" if is_gone else "")
        request = self._request(surface, self._model(facts.get("model")), status, code)
        request.total.inc()
        if is_gone:
            self._child(f.CLIENTS_GONE, context.phase.value).inc()
        if context.queued_s:
            self._child(f.ACCOUNT_WAIT).observe(context.queued_s)
        if context.attempts:
            self._count_attempts(context, is_gone=is_gone)
            self._child(f.OVERHEAD, surface).observe(context.overhead_ms() / 1000)
        if request.answer is not None:
            request.answer.observe(context, succeeded=not code)

    def _count_attempts(self, context: RequestContext, *, is_gone: bool) -> None:
        for code, word in context.failures:
            self._child(
                f.ATTEMPTS, code, word if not word or word in _STATUS_WORDS else "other"
            ).inc()
        if context.attempts > len(context.failures):
            self._child(f.ATTEMPTS, "abandoned" if is_gone else "ok", "").inc()
        if context.accounts > 1:
            self._child(f.FAILOVERS).inc(context.accounts - 1)

    def _request(self, surface: str, model: str, status: int, code: str) -> _Request:
        """The metrics of requests that end alike; cached."""
        key = (surface, model, status, code)
        found = self._requests.get(key)
        if found is None:
            total = self._child(f.REQUESTS, surface, model, str(status), code)
            answer = self._answer(model, code) if model else None
            found = self._requests[key] = _Request(total, answer)
        return found

    def _answer(self, model: str, code: str) -> _Answer:
        operation = (*_OPERATION, model)
        return _Answer(
            self._child(f.DURATION, *operation, code),
            self._child(f.FIRST_TOKEN, *operation),
            self._child(f.EACH_TOKEN, *operation),
            self._child(f.TOKENS, *operation, "input"),
            self._child(f.TOKENS, *operation, "output"),
        )

    def _model(self, name: str | None) -> str:
        if name is None:
            return ""
        return name if name in self._models else "other"

    def answer_begun(self, kind: AnswerKind) -> None:
        self._child(f.ANSWERS, kind).inc()

    def answer_ended(self, kind: AnswerKind) -> None:
        self._child(f.ANSWERS, kind).dec()

    def account_leased(self, account_id: str) -> None:
        self._child(f.ACCOUNT_ANSWERS, account_id).inc()

    def account_returned(self, account_id: str) -> None:
        self._child(f.ACCOUNT_ANSWERS, account_id).dec()

    def account_changed(self, state: str, quota: str, cause: str) -> None:
        self._child(f.ACCOUNT_CHANGES, state, quota, cause).inc()

    def upstream_called(self, verb: str, result: str) -> None:
        self._child(f.UPSTREAM_CALLS, verb, result).inc()

    def token_refreshed(self, result: str) -> None:
        self._child(f.TOKEN_REFRESHES, result).inc()

    def conversation(self, outcome: Outcome) -> None:
        self._child(f.CONVERSATIONS, outcome).inc()
        if outcome in _FORMER_OUTCOMES:
            self._child(f.CONVERSATIONS, _FORMER_OUTCOMES[outcome]).inc()

    def database_failed(self) -> None:
        self._child(f.DATABASE_FAILURES).inc()

    def limited(self, kind: str) -> None:
        self._child(f.LIMITED, kind).inc()

    def alert_sent(self, webhook: str, result: str) -> None:
        self._child(f.ALERTS, webhook, result).inc()

    def worker_started(self) -> None:
        if self._folder is not None:
            multiprocess.reserve_files(self._folder)
        self._child(f.WORKER_STARTS).inc()

    def worker_ended(self, pid: int) -> None:
        if self._folder is None:
            return
        multiprocess.remove_gauges(self._folder, pid)
        multiprocess.merge_ended(self._folder, multiprocess.ended_processes(self._folder))

    def collect(self) -> Callable[[], bytes]:
        accounts, database_is_up = self._accounts(), self._database_is_up()
        credentials = self._credentials()
        here = list(self._registry.collect()) if self._folder is None else []
        return lambda: exposition.render(
            accounts,
            database_is_up,
            credentials,
            here if self._folder is None else exposition.read_all(self._folder),
        )


def _create(family: f.Family, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    match family.kind:
        case "counter":
            return Counter(family.name, family.help, family.labels, registry=registry)
        case "gauge":
            return Gauge(
                family.name,
                family.help,
                family.labels,
                registry=registry,
                multiprocess_mode="livesum",
            )
        case "histogram":
            return Histogram(
                family.name, family.help, family.labels, registry=registry, buckets=family.buckets
            )


class _Answer:
    """The histograms of answers of one model with one `error_type`."""

    __slots__ = ("_duration", "_each", "_first", "_input", "_output")

    def __init__(
        self,
        duration: Histogram,
        first: Histogram,
        each: Histogram,
        given: Histogram,
        said: Histogram,
    ) -> None:
        self._duration = duration
        self._first = first
        self._each = each
        self._input = given
        self._output = said

    def observe(self, context: RequestContext, *, succeeded: bool) -> None:
        elapsed_s = context.elapsed_ms() / 1000
        self._duration.observe(elapsed_s)
        if not succeeded or context.ttft_ms is None:
            return
        first_s, tokens = context.ttft_ms / 1000, context.log_fields.get("output_tokens", 0)
        self._first.observe(first_s)
        if tokens > 1:
            self._each.observe((elapsed_s - first_s) / (tokens - 1))
        self._input.observe(context.log_fields.get("input_tokens", 0))
        self._output.observe(tokens)


class _Request:
    """The metrics of requests that end alike; `answer` is None without a model."""

    __slots__ = ("answer", "total")

    def __init__(self, total: Counter, answer: _Answer | None) -> None:
        self.total = total
        self.answer = answer
