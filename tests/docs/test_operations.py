"""docs/operations.md and the alerts name the log events and metrics that there are, and no others."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from gbproxy.observability.definitions import FAMILIES
from tests.docs import code_facts
from tests.docs.markdown import ROOT, Page, code

OPERATIONS = Page.read("docs/operations.md")
RULES = YAML(typ="safe").load((ROOT / "conf/prometheus-rules.yaml").read_text("utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
BY_NAME = {
    family.name + suffix: family
    for family in FAMILIES
    for suffix in (("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",))
}
LABELS = {label for family in FAMILIES for label in family.labels} | {"instance", "le"}
TOLD_EVENTS = {
    code(name)[0]: (levels, fields, meaning)
    for name, levels, fields, meaning in OPERATIONS.section("Logs").rows()
}
each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def test_every_log_event_stands_in_the_table_and_no_other() -> None:
    assert TOLD_EVENTS.keys() == code_facts.log_events().keys()


@pytest.mark.parametrize("name", TOLD_EVENTS)
def test_a_log_event_is_told_with_its_fields_and_levels(name: str) -> None:
    levels, fields, _ = TOLD_EVENTS[name]
    event = code_facts.log_events()[name]

    assert set(code(fields)) == event.fields
    assert event.levels <= set(re.findall(r"\w+", levels))


def test_every_metric_stands_in_the_table_with_its_type_and_labels() -> None:
    rows = OPERATIONS.section("What is counted").rows()
    told = [(code(name)[0], kind, tuple(code(labels))) for name, kind, labels, _ in rows]

    assert sorted(told) == sorted((family.name, family.kind, family.labels) for family in FAMILIES)


def test_the_verbs_and_results_that_are_told_are_those_of_the_code() -> None:
    sources = "".join(
        path.read_text("utf-8") for path in (ROOT / "gbproxy/upstreams").rglob("*.py")
    )
    told = next(
        row[3]
        for row in OPERATIONS.section("What is counted").rows()
        if "gbproxy_upstream_calls_total" in row[0]
    )

    assert [
        word
        for word in code(told)
        if word not in ("ok", "abandoned", "verb", "result") and f'"{word}"' not in sources
    ] == []


def test_the_rules_have_the_form_that_prometheus_reads() -> None:
    assert RULES.keys() == {"groups"}
    assert [group.keys() for group in RULES["groups"]] == [{"name", "rules"}]
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert alert["annotations"].keys() == {"summary", "description"}
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert re.fullmatch(r"\d+m", alert.get("for", "1m"))


@each_alert
def test_an_alert_uses_metrics_and_labels_that_there_are(alert: dict[str, Any]) -> None:
    bare = re.sub(r'"[^"]*"', '""', alert["expr"])
    names = set(re.findall(r"\b(?:gbproxy|gen_ai)_\w+", bare)) - LABELS

    assert names
    assert names <= BY_NAME.keys()
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", bare):
        assert set(re.findall(r"(\w+)(?==|!)", matchers)) <= set(BY_NAME[name].labels)
    for grouped in re.findall(r"\bby \(([^)]*)\)", bare):
        assert set(re.split(r",\s*", grouped)) <= LABELS
    for sign in ("()", "[]", "{}"):
        assert bare.count(sign[0]) == bare.count(sign[1])


@each_alert
def test_a_counter_is_looked_at_by_its_growth(alert: dict[str, Any]) -> None:
    bare = re.sub(r'"[^"]*"', '""', alert["expr"])

    for name, family in BY_NAME.items():
        if family.kind != "gauge" and re.search(rf"\b{name}\b", bare):
            assert re.search(rf"\b(?:rate|increase)\({name}(?:\{{[^}}]*\}})?\[\d+m\]\)", bare), name


def test_what_an_alert_names_of_the_log_and_the_settings_is_there() -> None:
    told = " ".join(alert["annotations"]["description"] for alert in ALERTS)
    settings = Page.read("docs/settings.md").text

    events = re.findall(r"\b[a-z]+\.[a-z_]+\b(?! )|\b[a-z]+\.[a-z_]+(?= in the log)", told)
    assert [
        name for name in re.findall(r"\b[A-Z]+_[A-Z_]+\b", told) if f"`{name}`" not in settings
    ] == []
    assert [name for name in events if f"`{name}`" not in OPERATIONS.text] == []


def test_the_first_of_its_kind_is_noticed_where_one_is_enough() -> None:
    """A series that begins with 1 has not grown, as `increase` sees it; and these have labels that nobody can foresee."""
    for alert in ALERTS:
        for metric in re.findall(r"increase\((\w+\{[^}]*\})\[\d+m\]\)\) > 0", alert["expr"]):
            assert f"{metric} unless {metric} offset " in alert["expr"], alert["alert"]
