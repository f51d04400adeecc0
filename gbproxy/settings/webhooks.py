"""Webhooks that alerts are sent to: their addresses, and the form that each takes.

Sources: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks,
https://core.telegram.org/bots/api#sendmessage,
https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot,
https://open.dingtalk.com/document/robots/custom-robot-access, https://docs.ntfy.sh/publish/.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Literal, cast, get_args
from urllib.parse import SplitResult, parse_qs, urlsplit

from gbproxy.settings.validators import comma_separated

WebhookKind = Literal["json", "slack", "telegram", "feishu", "dingtalk", "ntfy"]

_KINDS = get_args(WebhookKind)
_FORM = re.compile(rf"({'|'.join(_KINDS)})\+(?=https?://)", re.IGNORECASE)
# By the path alone where it says enough: these services are also reached through relays.
_PATHS: tuple[tuple[str, WebhookKind], ...] = (
    (r"/bot[0-9]+:[A-Za-z0-9_-]+/sendMessage/?", "telegram"),
    (r"/open-apis/bot/v2/hook/[^/]+/?", "feishu"),
    (r"/robot/send", "dingtalk"),
)
# No name of the internet ends so. Sources: RFC 6761, RFC 6762, RFC 8375; ICANN's .internal; .lan is
# what home routers take.
_PRIVATE_NAMES = (".localhost", ".local", ".home.arpa", ".internal", ".lan")


@dataclass(frozen=True, slots=True)
class Webhook:
    """`url` is a secret: who knows it can write there. `host` may be shown."""

    kind: WebhookKind
    url: str = field(repr=False)
    host: str

    @property
    def is_near(self) -> bool:
        """True for this machine, and what looks like an address or name of a private network."""
        try:
            return not ipaddress.ip_address(self.host).is_global
        except ValueError:
            return "." not in self.host or self.host.endswith(_PRIVATE_NAMES)

    @property
    def is_unencrypted(self) -> bool:
        """True if the address goes out where others may read it."""
        return self.url.lower().startswith("http:") and not self.is_near

    @classmethod
    def parse(cls, text: str) -> Webhook:
        """Raises ValueError with what is wrong, without the address."""
        form = _FORM.match(text)
        url = text[form.end() :] if form else text
        parts = _address(url)
        kind = cast("WebhookKind", form[1].lower()) if form else _kind(parts)
        if kind == "telegram" and not parse_qs(parts.query).get("chat_id"):
            raise ValueError("must end with ?chat_id= and the id of the chat, as it is Telegram's")
        if kind == "ntfy" and not re.fullmatch(r"/[^/]+/?", parts.path):
            raise ValueError(
                "must end with a topic, such as https://ntfy.sh/topic, as it is ntfy's"
            )
        return cls(kind, url, parts.hostname or "")


def webhook_urls(text: str) -> tuple[str, ...]:
    """Comma-separated addresses, each as `Webhook.parse` takes it."""
    found = comma_separated(text)
    wrong = []
    for position, address in enumerate(found, start=1):
        try:
            Webhook.parse(address)
        except ValueError as error:
            wrong.append(f"address {position} {error}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return found


def _address(url: str) -> SplitResult:
    allowed = "must look like https://host/path, all of it printable ASCII without spaces"
    if not re.fullmatch(r"[!-~]+", url):
        raise ValueError(allowed)
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError:
        raise ValueError(f"{allowed}, with a port up to 65535") from None
    if parts.scheme.lower() not in ("http", "https") or not name:
        raise ValueError(allowed)
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
    return parts


def _kind(parts: SplitResult) -> WebhookKind:
    host = (parts.hostname or "").lower()
    if host in ("hooks.slack.com", "hooks.slack-gov.com"):
        return "slack"
    if host == "ntfy.sh" or host.startswith("ntfy."):
        return "ntfy"
    return next((kind for path, kind in _PATHS if re.fullmatch(path, parts.path)), "json")
