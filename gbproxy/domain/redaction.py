"""Redacts requests and answers: secrets, personal data and the user's own words are replaced
(domain/placeholders.py) by as many bytes.

So a body keeps its framing, its pieces stay cut where they were, and byte positions inside it keep
their meaning. What is replaced: docs/upstream.md, captures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gbproxy.domain import json_layout
from gbproxy.domain.placeholders import Placeholders, shape

_MIN_SECRET_CHARS = 4  # a shorter one would be found inside words
_MIN_ID_CHARS = 4  # a shorter id names nothing outside its own answer
_LONG_DIGITS = 6

# The first that matches at a position wins. Each looks back or ahead over a bounded length only.
_RULES: tuple[tuple[str, str], ...] = (
    ("time", r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?"),
    ("email", r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+"),
    ("jwt", r"eyJ[\w-]++\.[\w-]++(?:\.[\w-]*+)?"),
    ("cookie", r"\b(?:CSE|COS)\.[\w.~+/=-]{4,}"),
    ("token", r"\b(?:CAMS|ya29\.|AIza|1//)[\w.~+/=-]{8,}"),
    ("uuid", r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"),
    ("project", r"(?<=\bprojects/)[^/\s\"'?#]+"),
    ("run", r"[A-Za-z0-9_+=-]{20,}+"),
    ("number", r"\d{6,}"),
)
_ONE_PASS = re.compile("|".join(f"(?P<{kind}>{rule})" for kind, rule in _RULES))
_LONG_NUMBER = re.compile(r"\d{6,}")
_TAG = re.compile(r"</?[A-Za-z][A-Za-z0-9-]*|[^<]+|<")

_WORD = re.compile(r"[A-Z][A-Z0-9_]{0,63}")  # as Google writes the members of an enum
# a name without digits, such as those of quotas
_NAME = re.compile(r"[A-Za-z@][A-Za-z._/@:-]{0,119}")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Keys of values that describe the service and not its user.
_PLAIN_KEYS = _words(
    "@type answerGenerationMode assistSkippingMode autoModelId contentKind defaultModelId"
    " fileOriginType filter language languageCode location mimeType model modelId orderBy outcome"
    " quota_limit quota_location quota_metric quota_unit quotaId quotaLimit quotaMetric quotaUnit"
    " reason regionCode retryDelay role service state status timeZone toolRegistry verdict"
    " violationSource"
)
# the service's own sentences
_MESSAGE_KEYS = frozenset(("message", "description", "detail", "errorMessage"))
_TEXT_KEYS = _words(
    "code content displayName name output query questions snippet text title uri url"
)
_DATA_KEYS = frozenset(("bytesBase64Encoded", "data", "fileContents"))  # media: never shown
_KEY = re.compile(r"[A-Za-z_@][A-Za-z_@.-]{0,63}")
_NAME_WORDS = _words(
    "agentspace-engine assistAnswers assistants collections dataStores default_assistant"
    " default_collection documents engines eu files global locations operations projects sessions"
    " us -"
)
_IS_ID = re.compile(r"(?:^|[a-z])(?:Id|Ids|Token|Tokens)$|^(?:id|ids|token|xsrfToken|keyId)$")
_IS_PATH = re.compile(r"[\w.~-]+(?:/[\w.~-]+)+", re.ASCII)

_SECRET_HEADERS = frozenset(
    ("authorization", "cookie", "set-cookie", "x-server-token", "proxy-authorization")
)
_PLAIN_HEADERS = _words(
    "accept accept-encoding accept-language alt-svc cache-control connection content-encoding"
    " content-length content-type date expires host origin pragma referer retry-after server"
    " transfer-encoding user-agent vary via x-content-type-options x-frame-options"
    " x-goog-safety-content-type x-goog-safety-encoding x-server-timeout x-xss-protection"
)


class Redactor:
    """Replaces secrets, personal data and texts, equal values always by the same placeholder.

    `secrets` are replaced wherever they stand. `with_text`: keep prompts, answers and titles;
    `phrases`: texts that are always kept.
    """

    def __init__(
        self, secrets: Iterable[str] = (), *, with_text: bool = False, phrases: Iterable[str] = ()
    ) -> None:
        found = sorted(
            {secret for secret in secrets if len(secret) >= _MIN_SECRET_CHARS},
            key=len,
            reverse=True,
        )
        self._secrets = re.compile(f"({'|'.join(map(re.escape, found))})") if found else None
        self._with_text = with_text
        self._phrases = frozenset(phrase.strip(" *\n") for phrase in phrases)
        self._placeholder = Placeholders().of

    def body(self, data: bytes) -> bytes:
        """Redact a request's or an answer's body, JSON or not, to as many bytes; a truncated one
        stays truncated.
        """
        text = data.decode("utf-8", "surrogateescape")
        if json_layout.looks_like_json(text):
            text = json_layout.replaced(text, self._name, self._string, self.number)
        else:
            text = self._page(text)
        return text.encode("utf-8", "surrogateescape")

    def header(self, name: str, value: str) -> str:
        """Redact a header's value. Names and attributes of cookies are kept."""
        lower = name.lower()
        if lower in ("cookie", "set-cookie"):
            return self._cookies(value, has_attributes=lower == "set-cookie")
        if lower in _SECRET_HEADERS:
            scheme, space, rest = value.partition(" ")
            return (
                f"{scheme} {self._placeholder('token', rest)}"
                if space
                else self._placeholder("token", value)
            )
        if lower == "location":
            return self.address(value)
        return self.message(value) if lower in _PLAIN_HEADERS else shape(value)

    def address(self, url: str) -> str:
        """Redact a URL or path: values of its query are replaced, names and the path's fixed words
        are kept.
        """
        address, mark, query = url.partition("?")
        pairs = [pair.partition("=") for pair in query.split("&")] if mark else []
        shown = [f"{name}{equals}{self._query_value(value)}" for name, equals, value in pairs]
        return self.message(address) + mark + "&".join(shown)

    def message(self, text: str) -> str:
        """Redact a sentence of the service: secrets, e-mail addresses, ids and numbers are
        replaced, words are kept. Fit for logs.
        """
        # `split` by a group: every second part is a secret.
        parts = [text] if self._secrets is None else self._secrets.split(text)
        return "".join(
            self._secret(part) if index % 2 else _ONE_PASS.sub(self._found, part)
            for index, part in enumerate(parts)
        )

    def number(self, digits: str) -> str:
        """Redact a number if it is long: a project's or an account's, maybe. Fit for logs."""
        bare = digits.lstrip("-")
        is_secret = self._secrets is not None and self._secrets.fullmatch(bare) is not None
        if not bare.isdecimal() or not (is_secret or len(bare) >= _LONG_DIGITS):
            return digits
        return digits[: len(digits) - len(bare)] + self._placeholder("number", bare)

    def _secret(self, value: str) -> str:
        return self._placeholder("number" if value.isdecimal() else "secret", value)

    def _found(self, found: re.Match[str]) -> str:
        kind, value = found.lastgroup or "", found[0]
        if kind == "time":
            return value
        # Words joined by underscores are names, but hardly ever with digits among them.
        if kind == "run":
            is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
            return (
                self._placeholder("id", value)
                if is_mixed
                else _LONG_NUMBER.sub(self._long_number, value)
            )
        if kind == "project":
            return self._id(value)
        return self._placeholder(kind, value)

    def _long_number(self, found: re.Match[str]) -> str:
        return self._placeholder("number", found[0])

    def _name(self, key: str) -> str:
        return key if _KEY.fullmatch(key) else self.message(key)

    def _string(self, key: str, value: str) -> str:
        """Redact a string that belongs to `key`, "" for none."""
        if key in _DATA_KEYS:
            return shape(value)
        if value.strip(" *\n") in self._phrases:
            return value
        if (
            key in _MESSAGE_KEYS
            or key in _PLAIN_KEYS
            or (key == "domain" and value.endswith(".googleapis.com"))
        ):
            return self.message(value)
        if _IS_PATH.fullmatch(value) and key not in _TEXT_KEYS - {"name"}:
            return "/".join(
                part if part in _NAME_WORDS else self._id(part) for part in value.split("/")
            )
        if _IS_ID.search(key):
            return self._id(value)
        if key not in _TEXT_KEYS and _WORD.fullmatch(value):
            return value
        return self.message(value) if self._with_text else shape(value)

    def _id(self, value: str) -> str:
        if len(value) < _MIN_ID_CHARS:
            return value
        return self._placeholder("number" if value.isdecimal() else "id", value)

    def _query_value(self, value: str) -> str:
        is_plain = value in ("json", "sse", "media", "true", "false") or len(value) < _MIN_ID_CHARS
        return value if is_plain else self._id(value)

    def _cookies(self, header: str, *, has_attributes: bool) -> str:
        pairs = header.split(";")
        shown = []
        for index, pair in enumerate(pairs):
            name, equals, value = pair.partition("=")
            is_attribute = has_attributes and index > 0
            shown.append(
                pair if is_attribute else f"{name}{equals}{self._placeholder('cookie', value)}"
            )
        return ";".join(shown)

    def _page(self, text: str) -> str:
        """Redact what is not JSON: tags' names are kept, of everything else the shape."""
        if self._with_text:
            return self.message(text)
        return _TAG.sub(lambda part: part[0] if part[0].startswith("<") else shape(part[0]), text)


def word(value: object) -> str:
    """The value if it looks like an enum's member or a quota's name, so fit for logs; else ""."""
    return (
        value
        if isinstance(value, str) and (_WORD.fullmatch(value) or _NAME.fullmatch(value))
        else ""
    )
