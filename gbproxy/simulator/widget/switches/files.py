"""Files that are sent into a session and fetched from it."""

from __future__ import annotations

from dataclasses import dataclass

from gbproxy.simulator.scripting.switches import switch


@dataclass(frozen=True)
class FileSwitches:
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
    user_file_origin: str = switch(
        "USER_PROVIDED",
        "USER_UPLOADED",
        fact="the fileOriginType of uploads, in lists and in their filter",
        certainty="certain",
    )
    added_file: str = switch(
        "file_id",
        "context_file",
        fact="the answer to an upload has `fileId`, or `contextFile.fileId`",
        certainty="one source",
    )
    max_file_mb: int = switch(
        50,
        1,
        fact="larger uploads are 400; mp3 may be four times as large",
        certainty="one source",
        open_ended=True,
    )
