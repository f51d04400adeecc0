"""Each kind of webhook is known by its address, and gets the form that it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gbproxy.alerts import forms
from gbproxy.alerts.alert import Alert
from gbproxy.settings.webhooks import Webhook
from gbproxy.storage.alerts import AlertKey

TOKEN = "s3cr3t"
REFUSED = Alert(
    AlertKey("account_refused", "0123456789abcdef:a1"),
    is_over=False,
    account="anna <!channel> & co",
    detail="Its cookies have expired.",
    at=1_800_000_000.0,
)
LINES = f"gbproxy (here): {REFUSED.title}\n{REFUSED.text}"
ADDRESSES = {
    "slack": f"https://hooks.slack.com/services/T0/B0/{TOKEN}",
    "telegram": f"https://api.telegram.org/bot12345:{TOKEN}/sendMessage?chat_id=-100&x=1",
    "feishu": f"https://open.feishu.cn/open-apis/bot/v2/hook/{TOKEN}",
    "dingtalk": f"https://oapi.dingtalk.com/robot/send?access_token={TOKEN}",
    "ntfy": f"https://ntfy.sh/{TOKEN}",
    "json": f"https://alerts.example.com/in?token={TOKEN}",
}


def body(address: str, alert: Alert = REFUSED) -> Any:
    return json.loads(forms.body(Webhook.parse(address), alert, "here"))


@pytest.mark.parametrize("kind", ADDRESSES)
def test_the_kind_is_known_by_the_address_and_no_token_is_in_the_body(kind: str) -> None:
    webhook = Webhook.parse(ADDRESSES[kind])

    assert webhook.kind == kind
    assert TOKEN not in repr(webhook)
    if kind != "ntfy":  # the topic is what is published to
        assert TOKEN not in forms.body(webhook, REFUSED, "here").decode()


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("https://open.larksuite.com/open-apis/bot/v2/hook/x", "feishu"),
        ("https://relay.example.com/bot1:a-b/sendMessage?chat_id=@ops", "telegram"),
        ("https://ntfy.example.com/ops", "ntfy"),
        ("ntfy+https://push.example.com/ops", "ntfy"),
        ("slack+https://chat.example.com/hooks/x", "slack"),
        ("JSON+https://hooks.slack.com/services/x", "json"),
        ("http://127.0.0.1:9000/in", "json"),
    ],
)
def test_other_addresses_of_a_service_and_forms_that_are_named(address: str, kind: str) -> None:
    assert Webhook.parse(address).kind == kind


@pytest.mark.parametrize(
    ("address", "is_unencrypted"),
    [
        ("http://alerts.example.com/x", True),
        ("slack+HTTP://93.184.215.14/x", True),
        ("http://[2606:2800:21f::1]/x", True),
        ("https://alerts.example.com/x", False),
        ("http://127.0.0.1:9000/x", False),
        ("http://[::1]/x", False),
        ("http://192.168.1.9/x", False),
        ("http://100.64.0.7/x", False),
        ("http://localhost/x", False),
        ("http://ntfy/x", False),
        ("http://ntfy.alerts.svc.cluster.local/x", False),
    ],
)
def test_what_goes_out_without_tls_is_known(address: str, is_unencrypted: bool) -> None:
    assert Webhook.parse(address).is_unencrypted is is_unencrypted


@pytest.mark.parametrize(
    ("address", "is_near"),
    [
        ("https://ntfy.lan/x", True),
        ("https://ntfy.alerts.svc.cluster.local/x", True),
        ("https://10.0.0.7/x", True),
        ("https://alerts.example.com/x", False),
        ("https://lan.example/x", False),
    ],
)
def test_what_is_reached_past_a_proxy_is_known(address: str, is_near: bool) -> None:
    assert Webhook.parse(address).is_near is is_near


def test_our_own_form() -> None:
    assert body(ADDRESSES["json"]) == {
        "source": "gbproxy",
        "host": "here",
        "kind": "account_refused",
        "state": "open",
        "account": {"id": "a1", "name": "anna <!channel> & co"},
        "quota": None,
        "model": None,
        "title": "The sign-in of account anna <!channel> & co is refused",
        "text": REFUSED.text,
        "at": "2027-01-15T08:00:00+00:00",
    }
    assert "copy its cookies anew" in REFUSED.text


def test_slack_gets_text_in_which_nothing_is_markup() -> None:
    text = LINES.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

    assert body(ADDRESSES["slack"]) == {"text": text}


def test_telegram_gets_the_chat_in_the_body() -> None:
    webhook = Webhook.parse(ADDRESSES["telegram"])

    assert body(ADDRESSES["telegram"]) == {"chat_id": "-100", "text": LINES}
    assert forms.address(webhook) == f"https://api.telegram.org/bot12345:{TOKEN}/sendMessage?x=1"


def test_feishu_and_dingtalk_get_plain_text() -> None:
    assert body(ADDRESSES["feishu"]) == {"msg_type": "text", "content": {"text": LINES}}
    assert body(ADDRESSES["dingtalk"]) == {"msgtype": "text", "text": {"content": LINES}}


def test_ntfy_gets_json_at_its_root() -> None:
    webhook = Webhook.parse("https://ntfy.sh/ops?auth=abc")

    assert forms.address(webhook) == "https://ntfy.sh/?auth=abc"
    assert body("https://ntfy.sh/ops") == {
        "topic": "ops",
        "title": f"gbproxy (here): {REFUSED.title}",
        "message": REFUSED.text,
        "priority": 4,
        "tags": ["warning"],
    }


@pytest.mark.parametrize(
    ("kind", "answer", "is_refused"),
    [
        ("feishu", b'{"code":0,"msg":"success"}', False),
        ("feishu", b'{"StatusCode":0,"StatusMessage":"success"}', False),
        ("feishu", b'{"code":19021,"msg":"sign match fail"}', True),
        ("dingtalk", b'{"errcode":0,"errmsg":"ok"}', False),
        ("dingtalk", b'{"errcode":310000,"errmsg":"keywords not in content"}', True),
        ("dingtalk", b"no JSON", False),
        ("dingtalk", b"[1]", False),
        ("slack", b'{"code":1}', False),
    ],
)
def test_a_refusal_within_a_success_is_seen(kind: Any, answer: bytes, is_refused: bool) -> None:
    assert forms.is_refused(kind, answer) is is_refused
