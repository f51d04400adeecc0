"""The form in which each kind of webhook takes a message, and how it says that it was refused.

Sources: gbproxy/settings/webhooks.py names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from gbproxy.alerts.alert import Alert
from gbproxy.settings.webhooks import Webhook, WebhookKind

_PRIORITIES = {True: 3, False: 4}  # ntfy's, of what is over and of what is not


def address(webhook: Webhook) -> str:
    """Where to send: the address itself, but that ntfy takes JSON at its root, and Telegram's chat
    goes into the body.
    """
    parts = urlsplit(webhook.url)
    match webhook.kind:
        case "ntfy":
            return urlunsplit(parts._replace(path="/"))
        case "telegram":
            rest = {name: each for name, each in parse_qs(parts.query).items() if name != "chat_id"}
            return urlunsplit(parts._replace(query=urlencode(rest, doseq=True)))
        case _:
            return webhook.url


def body(webhook: Webhook, alert: Alert, sender: str) -> bytes:
    """The message in JSON. `sender`: the machine that sends it."""
    return json.dumps(_BODIES[webhook.kind](webhook, alert, sender)).encode()


def is_refused(kind: WebhookKind, answer: bytes) -> bool:
    """True if an answer with a status of success says in its body that it is none."""
    names = {"feishu": ("code", "StatusCode"), "dingtalk": ("errcode",)}.get(kind, ())
    if not names:
        return False
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return False
    if not isinstance(told, Mapping):
        return False
    return any(told.get(name) not in (None, 0) for name in names)


def _json(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    del webhook
    account = {"id": alert.account_id, "name": alert.account} if alert.account else None
    return {
        "source": "gbproxy",
        "host": sender,
        "kind": alert.key.kind,
        "state": "over" if alert.is_over else "open",
        "account": account,
        "quota": alert.key.quota,
        "model": alert.key.model,
        "title": alert.title,
        "text": alert.text,
        "at": datetime.fromtimestamp(alert.at, UTC).isoformat(timespec="seconds"),
    }


def _lines(alert: Alert, sender: str) -> str:
    return f"gbproxy ({sender}): {alert.title}\n{alert.text}"


def _slack(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    del webhook
    # These three alone are markup in Slack: a name must not call the whole channel.
    text = _lines(alert, sender).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": text}


def _telegram(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    # Without parse_mode: plain text, in which nothing is markup.
    chat = parse_qs(urlsplit(webhook.url).query)["chat_id"][0]
    return {"chat_id": chat, "text": _lines(alert, sender)}


def _feishu(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    del webhook
    return {"msg_type": "text", "content": {"text": _lines(alert, sender)}}


def _dingtalk(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    del webhook
    return {"msgtype": "text", "text": {"content": _lines(alert, sender)}}


def _ntfy(webhook: Webhook, alert: Alert, sender: str) -> dict[str, Any]:
    return {
        "topic": urlsplit(webhook.url).path.strip("/"),
        "title": f"gbproxy ({sender}): {alert.title}",
        "message": alert.text,
        "priority": _PRIORITIES[alert.is_over],
        "tags": ["white_check_mark" if alert.is_over else "warning"],
    }


_BODIES: Mapping[WebhookKind, Callable[[Webhook, Alert, str], dict[str, Any]]] = {
    "json": _json,
    "slack": _slack,
    "telegram": _telegram,
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "ntfy": _ntfy,
}
