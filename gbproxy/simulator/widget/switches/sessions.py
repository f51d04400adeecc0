"""Switches of sessions, and of the files that are sent into them and fetched from them."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import SwitchGroup, switch


@dataclass(frozen=True)
class SessionSwitches(SwitchGroup):
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


@dataclass(frozen=True)
class FileSwitches(SwitchGroup):
    """Files: sent up, listed, fetched."""

    file_ids_elsewhere: str = switch(
        "400",
        "ignored",
        fact="what fileIds of another session do",
        certainty="unknown",
    )
    file_uri: str = switch(
        "accepted",
        "refused",
        fact="addContextFile takes `fileUri` in place of the contents",
        certainty="one source",
    )
    model_armor: bool = switch(
        False,
        True,
        fact="uploads are refused with reason MODEL_ARMOR_VIOLATION",
        certainty="certain",
        breaks=(True,),
    )
    download_body: str = switch(
        "raw",
        "base64_headers",
        "base64_bare",
        fact="media come as bytes, or as base64 text with or without x-goog-safety headers",
        certainty="certain",
    )
    download_redirect: bool = switch(
        False,
        True,
        fact="the download answers with one redirect on the same origin",
        certainty="certain",
    )
    download_path: str = switch(
        "both",
        "download",
        "plain",
        fact="files are there under `/download/v1alpha/…`, under `/v1alpha/…`, or under both",
        certainty="certain",
    )
    download_ranges: bool = switch(
        True,
        False,
        fact="raw media answer a Range with 206 and that part of them, or always as a whole",
        certainty="unknown",
    )
    user_file_origin: str = switch(
        "USER_PROVIDED",
        "USER_UPLOADED",
        fact="the fileOriginType of uploads, in lists and in their filter",
        certainty="certain",
    )
    added_file: str = switch(
        "file_id",
        "context_file",
        "bare",
        fact=(
            "the answer to an upload has `fileId`, or `contextFile.fileId`, or `fileId` without"
            " the wrapper, as the official API answers"
        ),
        certainty="one source",
    )
    upload_types: str = switch(
        "many",
        "few",
        fact="uploads of nearly any type are taken, or of a few that all callers send",
        certainty="unknown",
    )
    max_file_mb: int = switch(
        50,
        1,
        fact="larger uploads are 400; mp3 may be four times as large",
        certainty="one source",
        open_ended=True,
    )
    file_too_large: str = switch(
        "400",
        "413",
        fact="too large an upload is refused with words, or by the front end with a page",
        certainty="unknown",
    )
    file_session_name: str = switch(
        "any",
        "short",
        fact="an upload takes the session's short name alone, or its full name too",
        certainty="one source",
    )
    list_session_name: str = switch(
        "any",
        "id",
        "full",
        fact="a list of files takes the session's short and full name, its id alone, or its full"
        " name alone",
        certainty="one source",
    )
    upload_delay_s: float = switch(
        0.0,
        1.0,
        fact="how long an upload takes to be answered; callers wait up to a minute",
        certainty="unknown",
        open_ended=True,
    )
