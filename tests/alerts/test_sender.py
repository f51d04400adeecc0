"""Alerts are tried three times, in the background; what a webhook does harms nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing

import pytest

from gbproxy.alerts.alert import Alert
from gbproxy.alerts.sender import WAITS_S, Sender
from gbproxy.observability.meter import Meter
from gbproxy.outbound import HttpClient
from gbproxy.outbound.timeouts import Timeouts
from gbproxy.settings.webhooks import Webhook
from gbproxy.storage.alerts import AlertKey
from tests.support.polling import until
from tests.support.ports import refusing_port
from tests.support.webhooks import Receiver, Scripted, receiving

ALERT = Alert(AlertKey("no_account"), is_over=False, account=None, detail="", at=0.0)
TOKEN = "the-secret-token"


class Counting(Meter):
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def alert_sent(self, webhook: str, result: str) -> None:
        self.sent.append((webhook, result))


class Harness:
    """A sender whose waits pass at once, and are noted."""

    def __init__(self, *urls: str, read_s: float = 10.0) -> None:
        self.waits: list[float] = []
        self.taken: list[bool] = []  # whether the last alert was, once its sending has ended
        self.meter = Counting()
        self.client = HttpClient(Timeouts(5, read_s, read_s, read_s))
        self.sender = Sender(
            [Webhook.parse(url) for url in urls],
            lambda webhook: self.client,
            meter=self.meter,
            wait=self._wait,
            sender="here",
        )

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def send(self) -> list[tuple[str, str]]:
        """Send one alert and wait for its end."""
        self.taken.clear()
        self.sender.send(ALERT, self.taken.append)
        until(lambda: bool(self.taken), timeout_s=30)
        return self.meter.sent

    def close(self) -> None:
        self.sender.close()
        self.client.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def test_an_alert_is_sent_once_where_it_is_taken(receiver: Receiver) -> None:
    with closing(Harness(f"{receiver.url}/in?token={TOKEN}")) as harness:
        assert harness.send() == [("json", "ok")]

    (received,) = receiver.received
    assert harness.taken == [True]
    assert (received.path, received.body["kind"]) == (f"/in?token={TOKEN}", "no_account")
    assert received.headers["Content-Type"] == "application/json; charset=utf-8"
    assert harness.waits == []


def test_an_error_is_tried_three_times_with_growing_waits_and_logged(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.script = lambda number: Scripted(503, TOKEN.encode())
    with (
        caplog.at_level(logging.DEBUG),
        closing(Harness(f"{receiver.url}/{TOKEN}")) as harness,
    ):
        assert harness.send() == [("json", "failed")]

    assert (len(receiver.received), harness.waits) == (3, list(WAITS_S))
    assert harness.taken == [False]
    (failed,) = [record for record in caplog.records if record.message == "alert.failed"]
    assert vars(failed)["reason"] == "it answered 503"
    assert (vars(failed)["host"], vars(failed)["tries"]) == ("127.0.0.1", 3)
    assert TOKEN not in "".join(
        repr(vars(record)) for record in caplog.records if record.name.startswith("gbproxy")
    )


@pytest.mark.parametrize("takes_it", [True, False])
def test_what_waits_for_its_next_try_gets_its_last_one_at_the_end(
    receiver: Receiver, takes_it: bool
) -> None:
    receiver.script = lambda number: Scripted() if number and takes_it else Scripted(503)
    taken: list[bool] = []
    with closing(HttpClient(Timeouts(5, 5, 5, 5))) as client:
        webhook = Webhook.parse(receiver.url + "/in")
        sender = Sender([webhook], lambda webhook: client, meter=(meter := Counting()))
        sender.send(ALERT, taken.append)
        receiver.wait_for(1)
        sender.close(within_s=30)

    assert len(receiver.received) == 2
    assert meter.sent == [("json", "ok" if takes_it else "failed")]
    assert taken == [takes_it]


def test_the_end_of_sending_is_told_once_all_webhooks_are_done(receiver: Receiver) -> None:
    ended: list[int] = []
    with closing(Harness(*[receiver.url + "/in"] * 3)) as harness:
        harness.sender.send(ALERT, lambda is_taken: ended.append(len(harness.meter.sent)))
        until(lambda: bool(ended), timeout_s=30)

    assert ended == [3]


def test_what_does_not_end_in_time_is_not_told_to_have_ended(receiver: Receiver) -> None:
    receiver.script = lambda number: None
    ended: list[bool] = []
    with closing(Harness(receiver.url + "/in")) as harness:
        harness.sender.send(ALERT, ended.append)
        receiver.wait_for(1)
        harness.sender.close(within_s=0.0)
        harness.sender.send(ALERT, ended.append)

        assert (ended, harness.meter.sent) == ([], [])
        receiver.release.set()


def test_a_second_try_may_succeed_and_429_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.script = lambda number: (
        Scripted(429, headers={"Retry-After": "30"}) if number == 0 else Scripted()
    )
    with closing(Harness(receiver.url + "/in")) as harness:
        assert harness.send() == [("json", "ok")]

    assert (len(receiver.received), harness.waits) == (2, [30.0])


@pytest.mark.parametrize(
    ("text", "wait_s"), [("86400", 60.0), ("soon", 2.0), ("-5", 2.0), ("inf", 2.0), ("1", 2.0)]
)
def test_the_wait_that_is_asked_for_has_bounds(
    receiver: Receiver, text: str, wait_s: float
) -> None:
    receiver.script = lambda number: Scripted(429, headers={"Retry-After": text})
    with closing(Harness(receiver.url + "/in")) as harness:
        harness.send()

    assert harness.waits[0] == wait_s


def test_a_redirect_is_followed_nowhere(receiver: Receiver) -> None:
    with receiving() as elsewhere:
        receiver.script = lambda number: Scripted(307, headers={"Location": elsewhere.url + "/x"})
        with closing(Harness(receiver.url + "/in")) as harness:
            assert harness.send() == [("json", "failed")]

        assert (len(receiver.received), elsewhere.received) == (3, [])


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_every_refusal_is_tried_three_times(receiver: Receiver, status: int) -> None:
    receiver.script = lambda number: Scripted(status)
    with closing(Harness(receiver.url + "/in")) as harness:
        assert harness.send() == [("json", "failed")]

    assert len(receiver.received) == 3


def test_a_refusal_in_the_body_of_a_success_is_a_failure(receiver: Receiver) -> None:
    receiver.script = lambda number: Scripted(body=b'{"errcode":310000}')
    with closing(Harness(f"{receiver.url}/robot/send?access_token=x")) as harness:
        assert harness.send() == [("dingtalk", "failed")]


def test_one_that_stalls_delays_no_other(receiver: Receiver) -> None:
    receiver.script = lambda number: None
    with (
        receiving() as other,
        closing(Harness(receiver.url + "/in", other.url + "/in", read_s=60.0)) as harness,
    ):
        harness.sender.send(ALERT, harness.taken.append)
        until(lambda: harness.meter.sent)
        assert harness.meter.sent == [("json", "ok")]
        receiver.release.set()  # it ends each try without an answer
        until(lambda: bool(harness.taken), timeout_s=30)

    assert harness.taken == [True]  # by one
    assert sorted(harness.meter.sent) == [("json", "failed"), ("json", "ok")]
    assert len(receiver.received) == 3


def test_a_host_that_refuses_connections_is_a_failure_in_words(receiver: Receiver) -> None:
    with (
        refusing_port() as port,
        closing(Harness(f"http://127.0.0.1:{port}/in", receiver.url + "/in")) as harness,
    ):
        outcomes = harness.sender.test(ALERT)

    assert [(each.kind, each.host) for each in outcomes] == [("json", "127.0.0.1")] * 2
    assert outcomes[0].trouble is not None
    assert "could not be reached" in outcomes[0].trouble
    assert outcomes[1].trouble is None
