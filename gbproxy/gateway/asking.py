"""The question of one attempt: choose the session, put the files into it, and ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from gbproxy.conversations import Turn
from gbproxy.domain.account import Account
from gbproxy.domain.events import UpstreamStream
from gbproxy.domain.models import Model
from gbproxy.emulation.pipeline import ensure_fits
from gbproxy.errors import GatewayError
from gbproxy.gateway.answer_files import AnswerFiles, MediaOut
from gbproxy.gateway.attempt import write_request
from gbproxy.gateway.opening import session_for
from gbproxy.gateway.request_state import RequestState
from gbproxy.sessions.prewarmed import SessionPool
from gbproxy.upstreams.registry import Upstreams


class Asker:
    """Asks accounts on their upstreams; safe for use by many threads at once."""

    def __init__(self, upstreams: Upstreams, sessions: SessionPool, media: MediaOut) -> None:
        self._upstreams = upstreams
        self._sessions = sessions
        self._media = media

    @contextmanager
    def ask(
        self,
        state: RequestState,
        turn: Turn,
        account: Account,
        model: Model,
        learn: Callable[[GatewayError], None],
    ) -> Iterator[UpstreamStream]:
        """The events of the answer, as the client is shown them. Raises GatewayError, and
        CorrectionNeeded while they are read. `learn`: as of AnswerFiles.
        """
        upstream = self._upstreams.of(account)
        pipeline = state.emulation.pipeline(upstream.capabilities)
        state.size = state.sizes[account.upstream]
        if not turn.is_resumed:
            ensure_fits(state.size.chars, upstream.capabilities)
        session = session_for(state, turn, account, upstream.capabilities, self._sessions)
        state.emulation.enter(turn.conversation, is_told=turn.is_told)
        request = write_request(
            state,
            turn,
            pipeline,
            upstream.capabilities,
            model,
            lambda file: upstream.add_file(account, session, file),
        )
        made = AnswerFiles(
            self._media, state.chat, turn, upstream, account, learn, state.transform.append
        )
        with closing(upstream.stream(request, account, session)) as source:
            corrected = pipeline.read(source, may_correct=state.may_correct)
            shaped = state.transform.apply(corrected, made.published, made.delivery)
            with closing(made.with_bytes(shaped)) as events:
                yield events
