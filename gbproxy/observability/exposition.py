"""Renders what was counted as the page that Prometheus reads.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gbproxy.domain.account import AccountView, CredentialMoments
from gbproxy.observability import definitions as f
from gbproxy.observability import multiprocess
from gbproxy.version import __version__

STATES = ("ready", "cooling", "refused", "disabled")
ACCOUNTS_SHOWN = 1000  # of more, those that are not ready come first


def read_all(folder: Path) -> Iterable[Metric]:
    """Read what all processes have counted, summed up."""
    with multiprocess.locked_files(folder) as files:
        counted: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
    return counted


def render(
    accounts: Sequence[AccountView],
    database_is_up: bool,
    credentials: Mapping[str, CredentialMoments],
    counted: Iterable[Metric],
) -> bytes:
    """The page, sorted by name, without accounts that have been removed."""
    shown = accounts
    if len(accounts) > ACCOUNTS_SHOWN:
        shown = sorted(accounts, key=lambda account: account.state == "ready")[:ACCOUNTS_SHOWN]
    ids = {account.id for account in shown}
    metrics = [
        *_about_accounts(accounts, shown),
        *_about_credentials(credentials, ids),
        *_about_the_server(database_is_up),
        *counted,
    ]
    for metric in metrics:
        if metric.name == f.ACCOUNT_ANSWERS.name:
            metric.samples = [
                sample for sample in metric.samples if sample.labels["account"] in ids
            ]
    return generate_latest(_Page(sorted(metrics, key=lambda metric: metric.name)))


class _Page(Collector):
    """Hands prometheus_client the metrics of one page."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _about_accounts(
    accounts: Sequence[AccountView], shown: Sequence[AccountView]
) -> Iterator[Metric]:
    count = Counter[str](account.state for account in accounts)
    yield _metric(f.ACCOUNTS, [((state,), count[state]) for state in STATES])
    yield _metric(
        f.ACCOUNT_STATE, [((a.id, state), a.state == state) for a in shown for state in STATES]
    )
    ends = [((a.id, quota), end) for a in shown for quota, end in a.cooling_until.items()]
    yield _metric(f.ACCOUNT_COOLING, ends)


def _about_credentials(
    credentials: Mapping[str, CredentialMoments], ids: Collection[str]
) -> Iterator[Metric]:
    known = {id_: moments for id_, moments in credentials.items() if id_ in ids}
    yield _metric(
        f.ACCOUNT_COOKIES,
        [((id_,), each.cookies_at) for id_, each in known.items() if each.cookies_at is not None],
    )
    yield _metric(
        f.ACCOUNT_CHECKED,
        [((id_,), each.checked_at) for id_, each in known.items() if each.checked_at is not None],
    )


def _about_the_server(database_is_up: bool) -> Iterator[Metric]:
    yield _metric(f.DATABASE_UP, [((), database_is_up)])
    yield _metric(f.BUILD, [((__version__, platform.python_version()), 1)])


def _metric(family: f.Family, values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    metric = Metric(family.name, family.help, family.kind)
    for labels, value in values:
        metric.add_sample(family.name, dict(zip(family.labels, labels, strict=True)), float(value))
    return metric
