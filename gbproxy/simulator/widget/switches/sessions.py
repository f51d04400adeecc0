"""How sessions come to be, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import switch


@dataclass(frozen=True)
class SessionSwitches:
    """Sessions."""

    unknown_config: int = switch(
        401,
        403,
        fact="how an unknown configId is refused on create; on list it is always 403",
        certainty="unknown",
    )
    create_session: str = switch(
        "ok",
        "400",
        "403",
        "404",
        fact="createSession may be refused where a session comes to be in another way",
        certainty="unknown",
    )
    session_name: str = switch(
        "short",
        "full",
        fact="createSession answers `collections/…`; the official API answers `projects/…`",
        certainty="certain",
    )
    create_session_transient: int = switch(
        0,
        1,
        fact="this many first createSession calls fail though nothing is wrong with them",
        certainty="one source",
        open_ended=True,
    )
    create_session_transient_status: int = switch(
        400,
        500,
        fact="the status of those transient failures",
        certainty="one source",
    )
    dash_session: str = switch(
        "creates",
        "refused",
        fact="streaming to `sessions/-` makes a session; its name comes in sessionInfo",
        certainty="one source",
    )
    own_session: str = switch(
        "creates",
        "400",
        "404",
        fact=(
            "streaming to a session id of the client's own (lower-case letters, digits and `-`, not"
            " digits alone) makes that session; files cannot be put into it before"
        ),
        certainty="one source",
    )
