"""A page of metrics, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from gbproxy.observability.metrics import Metrics
from tests.support.serving import Asking

METRICS_KEY = "a-key-for-metrics-0123"


@dataclass(frozen=True)
class Page:
    text: str

    def value(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name with at least these labels; 0 without any."""
        return sum(
            sample.value for sample in self.samples(name) if labels.items() <= sample.labels.items()
        )

    def by(self, name: str, label: str) -> Mapping[str, float]:
        """The samples that are not 0, by one of their labels; those that it does not tell apart are
        added up.
        """
        found: dict[str, float] = {}
        for sample in self.samples(name):
            if sample.value:
                value = sample.labels.get(label, "")
                found[value] = found.get(value, 0) + sample.value
        return found

    def samples(self, name: str = "") -> list[Sample]:
        families = text_string_to_metric_families(self.text)
        return [
            sample for family in families for sample in family.samples if name in ("", sample.name)
        ]


def page_of(metrics: Metrics) -> Page:
    return Page(metrics.collect()().decode())


def scraped(gateway: Asking, key: str = METRICS_KEY) -> Page:
    reply = gateway.request("GET", "/metrics", headers={"Authorization": f"Bearer {key}"})
    assert reply.status == 200, reply.body
    return Page(reply.body.decode())


def answers_in_flight(gateway: Asking) -> int:
    """The answers that a gateway with METRICS_KEY makes now; those that wait for an account too."""
    return int(scraped(gateway).value("gbproxy_answers_in_flight"))
