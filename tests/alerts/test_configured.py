"""Alerts as the settings want them: TLS is verified, and PROXY is passed by where it leads nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gbproxy.app import EXTENSION
from gbproxy.services import Services
from gbproxy.simulator.http.certificates import make_certificates
from tests.support.serving import InProcess, in_process
from tests.support.webhooks import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def outcomes(app: InProcess) -> list[str | None]:
    services: Services = app.app.extensions[EXTENSION].services
    return [each.trouble for each in services.alerts.test()]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_tls_is_verified(tmp_path: Path, is_trusted: bool) -> None:
    ca_file, tls = make_certificates(tmp_path)
    trusted = {"CA_BUNDLE": str(ca_file)} if is_trusted else {}
    with (
        receiving(tls) as receiver,
        in_process(trusted, ALERT_WEBHOOK=receiver.url + "/in") as app,
    ):
        found = outcomes(app)

    assert len(receiver.received) == is_trusted
    assert found == ([None] if is_trusted else ["it could not be reached (upstream_error)"])


def test_a_webhook_nearby_is_reached_past_the_proxy(receiver: Receiver) -> None:
    proxy = {"PROXY": "http://127.0.0.1:9"}
    far = "http://alerts.example.com/in"
    with in_process(proxy, ALERT_WEBHOOK=f"{receiver.url}/in,{far}") as app:
        near, through_proxy = outcomes(app)

    assert near is None
    assert through_proxy is not None
    assert len(receiver.received) == 1
