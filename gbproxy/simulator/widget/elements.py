"""The elements of one answer of the stream, built as the switches in force want them.

Source: docs/upstream.md, element schema.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gbproxy.simulator.scripting.actions import (
    Action,
    AnswerAction,
    ErrorElement,
    Failed,
    Fields,
    FileReply,
    Final,
    Skipped,
    Text,
    Thought,
)
from gbproxy.simulator.scripting.service import JsonObject
from gbproxy.simulator.widget import files
from gbproxy.simulator.widget.sessions import Session, Sessions, Turn, rfc3339
from gbproxy.simulator.widget.switches import WidgetSwitches

_NONE: Mapping[str, Any] = {}
_SUGGESTIONS = ("What else can you do?", "Why is that so?", "Can you give an example?")


@dataclass
class ElementStream:
    """The elements of one answer in a session; keeps account of what was said.

    `now` is the server's time as seconds since the epoch. What is said and made belongs to the
    session from the moment in which its element is built.
    """

    switches: WidgetSwitches
    now: Callable[[], float]
    lock: threading.Condition
    sessions: Sessions
    session: Session
    turn: Turn
    _runs: bool = False
    _count: int = 0
    _sprinkled: bool = False
    _assist_token: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def begin(self) -> None:
        """Count the answer among those that run in its session."""
        with self.lock:
            self._runs = True
            self.session.running += 1
            self.session.most_at_once = max(self.session.most_at_once, self.session.running)

    def end(self) -> None:
        """Count the answer as one that runs no longer, if that was not done before."""
        with self.lock:
            self.session.running -= self._runs
            self._runs = False

    def elements(self, action: AnswerAction) -> Iterator[JsonObject]:
        """Every element that this action stands for, in order."""
        match action:
            case Text(text):
                self._say(text)
                yield self._reply({"role": "model", "text": text})
                yield from self._sprinkle()
            case Fields(response, fields):
                yield self._in_progress([], fields, response)
            case Thought(text, flagged):
                flag = {"thought": True} if flagged else {}
                yield self._reply({"role": "model", "text": text, **flag})
            case FileReply():
                yield self._file(action)
            case Skipped():
                yield self._wrap({"answer": _skipped(action), **self._session_info(last=True)})
            case Failed():
                yield self._wrap({"answer": {"state": "FAILED"}, **self._session_info(last=True)})
            case ErrorElement(code, status, message, details):
                error = {"code": code, "message": message, "status": status}
                yield {"error": {**error, **({"details": list(details)} if details else {})}}
            case Final():
                yield from self._end(action)

    def _say(self, text: str) -> None:
        if not any(turn is self.turn for turn in self.session.turns):
            self.session.turns.append(self.turn)
        self.turn.answer += text

    def _reply(self, content: JsonObject, **grounding: Any) -> JsonObject:
        reply: JsonObject = {"groundedContent": {"content": content, **grounding}}
        if self.switches.extra_fields:
            reply["createTime"] = rfc3339(self.now())
            reply["groundedContent"]["contentMetadata"] = {"contentId": "c1"}
        return self._in_progress([reply])

    def _in_progress(
        self,
        replies: list[JsonObject],
        fields: Mapping[str, Any] = _NONE,
        response: Mapping[str, Any] = _NONE,
    ) -> JsonObject:
        answer: JsonObject = {"replies": replies, **fields}
        if self.switches.state == "present":
            answer = {"state": "IN_PROGRESS", **answer}
        if self.switches.extra_fields:
            answer["adkAuthor"] = "root_agent"
        return self._wrap({"answer": answer, **self._session_info(), **response})

    def _wrap(self, response: JsonObject) -> JsonObject:
        response["assistToken"] = self._assist_token
        if self.switches.extra_fields:
            response["invocationTools"] = []
            response["futureField"] = {"text": "not for you", "thought": False, "n": "9" * 19}
        first = self._count == 0
        self._count += 1
        bare = self.switches.wrapper == "bare"
        element = response if bare else {"streamAssistResponse": response}
        carriers = ("every", "first") if first else ("every",)
        if self.switches.u_token in carriers:
            return {"uToken": f"AUTH-{self._assist_token}", **element}
        return element

    def _session_info(self, *, last: bool = False) -> JsonObject:
        if last or self.switches.session_info == "everywhere":
            name = self.session.short_name
            if "full" in (self.switches.session_name, self.switches.session_info_name):
                name = self.session.full_name
            turn_number = str(len(self.session.turns))
            info = {"session": name, "queryId": f"7{turn_number:0>18}", "turnId": turn_number}
            return {"sessionInfo": info}
        return {"sessionInfo": {}} if self.switches.session_info == "empty_then_full" else {}

    def _file(self, action: FileReply) -> JsonObject:
        stored = files.generate(self.sessions, self.session, action)
        content: JsonObject = {"role": "model"}
        if action.inline:
            data = base64.b64encode(stored.content).decode()
            content["inlineData"] = {"mimeType": stored.mime_type, "data": data}
        else:
            content["file"] = {
                "fileId": stored.file_id,
                "mimeType": stored.mime_type,
                "name": stored.name,
            }
        replies: list[JsonObject] = [{"groundedContent": {"content": content}}]
        if action.sentence:
            self._say(action.sentence)
            spoken = {"content": {"role": "model", "text": action.sentence}}
            replies.append({"groundedContent": spoken})
        return self._in_progress(replies)

    def _end(self, final: Final) -> Iterator[JsonObject]:
        if self.switches.citations:
            grounding = _grounding(self.turn.answer)
            yield self._reply({"role": "model"}, textGroundingMetadata=grounding)
        if self.switches.suggestions:
            value = {"recommendedQuestionsResponse": {"questions": _SUGGESTIONS}}
            data = base64.b64encode(json.dumps(value).encode()).decode()
            suggestions = {"mimeType": "application/json+suggestions", "data": data}
            yield self._reply({"role": "model", "inlineData": suggestions})
        if self.switches.connector_errors:
            error = {
                "dataConnector": "projects/1/locations/global/dataConnector",
                "errorMessage": "Not signed in.",
            }
            yield self._in_progress([], response={"connectorAuthErrors": [error]})
        self._say(final.text)
        self.turn.complete = True
        # Before the element is sent: a quick client asks again as soon as it has seen the end.
        self.end()
        yield self._wrap({"answer": self._last_answer(final), **self._session_info(last=True)})

    def _last_answer(self, final: Final) -> JsonObject:
        grounded: JsonObject = {}
        text = self.turn.answer if self.switches.final == "repeats_text" else final.text
        if text:
            grounded = {"content": {"role": "model", "text": text}}
        answer: JsonObject = {
            "name": f"{self.session.full_name}/assistAnswers/{self.sessions.new_id()}",
            "state": final.state,
            "replies": [{"groundedContent": grounded, "replyId": self.sessions.new_id()}],
        }
        if not final.state:
            del answer["state"]
        if self.switches.verdict != "none":
            answer["customerPolicyEnforcementResult"] = {"verdict": self.switches.verdict}
        if self.switches.final != "without_diagnostics":
            answer["diagnosticInfo"] = self._diagnostics()
        return answer

    def _diagnostics(self) -> JsonObject:
        time = rfc3339(self.now())
        plan = {"planStepId": "1", "role": "MODEL", "parts": [{"text": self.turn.answer}]}
        query = {"parts": [{"text": self.turn.query}]}
        steps: list[JsonObject] = [{"createTime": time, "queryStep": query}]
        return {"plannerSteps": [*steps, {"createTime": time, "planStep": plan}]}

    def _sprinkle(self) -> Iterator[JsonObject]:
        """Once in an answer: elements that say nothing."""
        if not self.switches.metadata_only or self._sprinkled:
            return
        self._sprinkled = True
        yield self._wrap({})
        yield self._reply({"role": "model"})
        yield self._reply({"role": "model", "text": ""})
        metadata = {"contentMetadata": {"contentKind": "RESOURCE", "contentId": "c0"}}
        yield self._in_progress([{"groundedContent": metadata}])
        yield self._in_progress([])


def arranged(actions: tuple[Action, ...], switches: WidgetSwitches) -> tuple[Action, ...]:
    """The script as `final=carries_last_text` wants it: the last fragment moves into the Final."""
    if switches.final != "carries_last_text":
        return actions
    texts = [at for at, action in enumerate(actions) if isinstance(action, Text)]
    finals = [at for at, action in enumerate(actions) if isinstance(action, Final)]
    if not texts or not finals or texts[-1] > finals[-1]:
        return actions
    moved, end = actions[texts[-1]], actions[finals[-1]]
    assert isinstance(moved, Text) and isinstance(end, Final)  # noqa: S101, PT018  type checker
    rest = list(actions)
    rest[finals[-1]] = Final(moved.text + end.text, end.state)
    del rest[texts[-1]]
    return tuple(rest)


def _skipped(action: Skipped) -> JsonObject:
    answer: JsonObject = {"state": "SKIPPED", "assistSkippedReasons": [action.reason]}
    policy_results: list[JsonObject] = []
    if action.violation:
        enforcement = {"modelArmorViolation": action.violation}
        policy_results.append({"modelArmorEnforcementResult": enforcement})
    if action.banned_phrases:
        phrases = {"bannedPhrases": list(action.banned_phrases)}
        policy_results.append({"bannedPhraseEnforcementResult": phrases})
    if policy_results:
        result: JsonObject = {"verdict": action.verdict, "policyResults": policy_results}
        if action.source:
            result["violationSource"] = action.source
        answer["customerPolicyEnforcementResult"] = result
    return answer


def _grounding(text: str) -> JsonObject:
    """One segment over the answer's second half; its indexes count UTF-8 bytes, as strings."""
    middle = len(text) // 2
    start, end = len(text[:middle].encode()), len(text.encode())
    segment: JsonObject = {"startIndex": str(start), "endIndex": str(end), "text": text[middle:]}
    segment |= {"referenceIndices": [0], "groundingScore": 0.9}
    document = {
        "uri": "https://vertexaisearch.cloud.google.com/grounding-api-redirect/AbCdEf",
        "title": "Example Domain",
        "domain": "example.com",
    }
    reference = {"content": "An example of a source.", "documentMetadata": document}
    return {"segments": [segment], "references": [reference]}
