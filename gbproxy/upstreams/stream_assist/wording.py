"""Reads the texts of Google's errors: single words to show and to log, and the meaning of free text
(a prompt that is too long, the quota that is used up, the part that is refused).

Source: docs/upstream.md, errors. The words are those of Google's services, not only of this one.
Narrow on purpose: an error that is taken for another makes clients throw their history away, or
parks an account until midnight.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from gbproxy.domain.redaction import word
from gbproxy.errors import GatewayError, Media
from gbproxy.upstream_words import UpstreamWords
from gbproxy.upstreams.decoding.objects import as_line, as_list, as_mapping

_MOST = 5  # reasons, quotas that are kept
_MESSAGE_CHARS = 500
_BODY_BYTES = 8 * 1024
_QUOTA_NAMES = ("quotaId", "quota_id", "quota_limit", "quotaMetric", "quota_metric")

# Too long: a sentence says of something that holds the conversation (or of its tokens) that it is
# beyond a measure.
_SENTENCE_END = re.compile(r"[.;!?](?:\s|$)|\n")
_TOKENS = re.compile(
    r"\btokens\b|\btoken[ _-]?(counts?|limits?|lengths?|size|numbers?)\b|\bcontext["
    r" _-]?(length|window|size|limit)"
    r"|\bmodel'?s? context\b",
    re.IGNORECASE,
)
_CONVERSATION = re.compile(
    r"\b(prompts?|inputs?|query|queries|questions?|messages?|texts?|contents?|context|payload|requests?|conversation|history"
    r"|characters)\b",
    re.IGNORECASE,
)
_BEYOND = re.compile(
    r"\btoo (long|large|big|lengthy|many)\b"
    r"|\b(longer|larger|bigger|greater|more|shorter|smaller|less|fewer)"
    r" than\b"
    r"|\bexceed(s|ed|ing)?\b|\b(over|above|beyond) (the|limit)\b|\bat most\b|\bup to\b|\bbut"
    r" \d[\d,.]* is the max(imum)?\b|\b(shorten|reduce) (the|your)\b",
    re.IGNORECASE,
)
_MEASURE = re.compile(
    r"\btoo (long|large|big|lengthy)\b|\b(longer|larger|bigger|shorter|smaller)"
    r" than\b|\bshorten\b|\blengths?\b|\bsizes?\b"
    r"|\blimits?\b|\bmax(imum)?\b|\bcharacters\b|\bbytes\b|\bchars\b",
    re.IGNORECASE,
)
# What is beyond its measure is something else: a name, a file, the answer, a rate; or what may be
# too long is time.
_SOMETHING_ELSE = re.compile(
    r"names?\b|titles?\b|labels?\b|(?<![a-z])(?:ur[li]|id)s?\b|emails?\b|\bkeys?\b|headers?\b|cookies?\b|filters?\b|languages?\b"
    r"|time ?zones?\b|schemas?\b|enums?\b|descriptions?\b"
    r"|files?\b|attachments?\b|documents?\b|images?\b|pictures?\b|photos?\b|videos?\b|audios?\b|\bdata"
    r" ?stores?\b"
    r"|tools?\b|functions?\b|declarations?\b|candidates?\b|temperature\b|\bstop"
    r" ?sequences?\b|\bthinking\b|\bbudget\b"
    r"|output|\b(access|auth\w*|security|bearer|refresh|xsrf|csrf|invalid|page)["
    r" _-]?tokens?\b|\bage\b|lifetime"
    r"|\bsessions\b|\bquotas?\b|\brate\b|\bper (second|minute|hour|day)\b|\bconcurren"
    r"|\btime[ _-]?(limit|exceeded)|\b(took|takes?|taking|waited|waiting|running|deadline|timed?"
    r" ?out|seconds|minutes)\b|\bexpired?\b"
    r"|\b(must|should|has to|have to) (exceed|be (greater|larger|longer|more))\b"
    r"|\bnumber of (?!(input |prompt |total )?(tokens|characters|chars|words|bytes|messages)\b)",
    re.IGNORECASE,
)
# gRPC says this under RESOURCE_EXHAUSTED, of one call: no quota is meant.
_MESSAGE_TOO_LARGE = re.compile(
    r"\b(message|payload|request)( length)?( is)? (larger than|too large)", re.IGNORECASE
)

# As Google names quotas: `GenerateRequestsPerDayPerProject`, `requests_per_day`, unit
# `1/d/{project}`, "Daily limit".
_DAILY = re.compile(r"per[ _-]?day|(?<![a-z])daily|\b1/d\b", re.IGNORECASE)
_SHORTER = re.compile(r"per[ _-]?(second|minute|hour)|\b1/(s|min|h)\b", re.IGNORECASE)
_MEDIA: dict[Media, re.Pattern[str]] = {
    "images": re.compile(r"(?i:image|picture|photo|drawing|nano[ _-]?banana)"),
    "videos": re.compile(
        r"(?i:video|movie)|Veo(?![a-z])|(?<![a-z])veo(?![a-z])|(?<![A-Z])VEO(?![A-Z])"
    ),
}

# A refusal that is about the model itself, not about what was asked of it.
_MODEL = re.compile(
    r"\bmodel[ _-]?(id|name)\b|\bmodels?\b(?:[^.;!?]|\.(?=\S))*\b(not"
    r" (found|exist|available|supported|enabled|allowed|valid)|unknown|invalid"
    r"|unavailable|unsupported|disabled|retired|deprecated|shut down|no longer)\b"
    r"|\b(unknown|invalid|unsupported|disabled|retired|deprecated|no such) model\b",
    re.IGNORECASE,
)
_TOOLS_NAMED = {
    "imageGenerationSpec": re.compile(r"image[ _-]?generation", re.IGNORECASE),
    "videoGenerationSpec": re.compile(r"video[ _-]?generation", re.IGNORECASE),
    "webGroundingSpec": re.compile(r"(web|google[ _-]?search)[ _-]?grounding", re.IGNORECASE),
    "toolRegistry": re.compile(r"tool[ _-]?registry", re.IGNORECASE),
}


def is_too_long(message: str) -> bool:
    """True if the error of a request says that the prompt, with its history, is too long for the
    model.
    """
    return any(map(_says_too_long, _SENTENCE_END.split(message)))


def is_message_too_large(message: str) -> bool:
    """True if a single call was too large, though the status says that a resource is used up."""
    return _MESSAGE_TOO_LARGE.search(message) is not None


def names_daily_quota(texts: Iterable[str]) -> bool:
    """True if a daily quota is named as used up.

    Conservative, as it cools an account until midnight: a text that names a shorter period too says
    nothing.
    """
    return any(_DAILY.search(text) and not _SHORTER.search(text) for text in texts)


def named_media(texts: Iterable[str]) -> tuple[Media, ...]:
    """The kinds of media whose quota is named as used up; none means that of the request."""
    everything = " ".join(texts)
    return tuple(kind for kind, words in _MEDIA.items() if words.search(everything))


def named_parts(texts: Iterable[str]) -> frozenset[str]:
    """The parts of a question that a refusal names: keys of its toolsSpec, and "model"."""
    everything = "\n".join(texts)
    tools = {tool for tool, words in _TOOLS_NAMED.items() if words.search(everything)}
    return frozenset(tools | ({"model"} if _MODEL.search(everything) else set()))


def _says_too_long(sentence: str) -> bool:
    if _SOMETHING_ELSE.search(sentence):
        return False
    is_beyond, is_measured = (
        _BEYOND.search(sentence) is not None,
        _MEASURE.search(sentence) is not None,
    )
    if _TOKENS.search(sentence):
        return is_beyond or is_measured
    return is_beyond and is_measured and _CONVERSATION.search(sentence) is not None


class Reply(Protocol):
    """An answer, whole or still arriving."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


class ErrorContext:
    """A `with` block in which a reply is read: an error that leaves it carries the words of the
    reply, and the verb that was asked.
    """

    __slots__ = ("_body", "_reply", "_verb")

    def __init__(self, verb: str, reply: Reply, body: bytes = b"") -> None:
        self._verb = verb
        self._reply = reply
        self._body = body

    def __enter__(self) -> None:
        return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if not isinstance(error, GatewayError):
            return
        error.said = of_reply(self._verb, self._reply, self._body, error.said)


def of_reply(
    verb: str, reply: Reply, body: bytes = b"", known: UpstreamWords | None = None
) -> UpstreamWords:
    """Read the reply to a verb before its body is read; `known` was read from the body."""
    known = known or UpstreamWords()
    return replace(
        known,
        verb=verb,
        http_status=reply.status,
        content_type=_word(reply.headers.get("Content-Type", "").partition(";")[0].strip().lower()),
        body=known.body or body[:_BODY_BYTES],
    )


def of_error(error: Mapping[str, Any], body: bytes = b"") -> UpstreamWords:
    """Read Google's `{"message", "status", "details"}`, any of which may be missing; `body` is what
    it came in.
    """
    details = [as_mapping(detail) for detail in as_list(error.get("details"))]
    return UpstreamWords(
        status=enum_word(error.get("status")),
        reasons=_distinct(enum_word(detail.get("reason")) for detail in details),
        domain=next(filter(None, (_word(detail.get("domain")) for detail in details)), ""),
        quotas=_distinct(_word(name) for detail in details for name in _quotas(detail)),
        message=as_line(error.get("message"), _MESSAGE_CHARS),
        body=body[:_BODY_BYTES],
    )


def enum_word(value: object) -> str:
    """A member of one of Google's enums, which are in capitals; "" for anything else."""
    found = word(value)
    return found if found.isupper() else ""


def _quotas(detail: Mapping[str, Any]) -> Iterator[object]:
    for named in (
        *map(as_mapping, as_list(detail.get("violations"))),
        as_mapping(detail.get("metadata")),
    ):
        yield from map(named.get, _QUOTA_NAMES)


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, words)))[:_MOST]


def _word(value: object) -> str:
    found = word(value)
    return "" if "@" in found else found  # it may be an e-mail address
