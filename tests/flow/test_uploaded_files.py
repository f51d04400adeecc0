"""Uploads to the gateway: how much memory a large one takes, and which are refused."""

from __future__ import annotations

from pathlib import Path

import openai
import pytest

from gbproxy.simulator import Simulator
from tests.support.serving import resident_bytes, serving

pytestmark = pytest.mark.slow

MB = 1024 * 1024
WHOLE = bytes(20 * MB)
RELATED = "multipart/related; boundary=of-it"
PARTS = b"--of-it\r\n\r\n{}\r\n--of-it\r\n\r\n%b\r\n--of-it--" % WHOLE


@pytest.mark.slow
def test_a_large_upload_takes_little_memory(tmp_path: Path) -> None:
    with Simulator() as upstream:
        settings = upstream.environment() | {
            "DATABASE_URL": f"sqlite:///{tmp_path}/gbproxy.db",
            "SECRET_KEY": "a-secret-key-of-the-tests",
        }
        with (
            serving(settings) as served,
            openai.OpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client,
        ):
            [worker] = served.worker_pids()
            client.files.create(file=("small.txt", b"words"), purpose="user_data")
            before = resident_bytes(worker)

            made = client.files.create(file=("a.bin", WHOLE), purpose="user_data")
            assert made.bytes == 20 * MB
            assert resident_bytes(worker) - before < 8 * MB
            for kind, body in (("application/octet-stream", WHOLE), (RELATED, PARTS)):
                headers = {"X-Goog-Upload-Protocol": "raw"} if body is WHOLE else {}
                sent = {**served.headers, **headers, "Content-Type": kind}
                reply = served.request("POST", "/upload/v1beta/files", body, sent)
                assert reply.json()["file"]["sizeBytes"] == str(20 * MB)
                assert resident_bytes(worker) - before < 8 * MB
            with pytest.raises(openai.APIStatusError) as refused:
                client.files.create(file=("a.bin", bytes(20 * MB + 1)), purpose="user_data")
            assert refused.value.status_code == 413
            for wrong in ({"purpose": "none"}, {"purpose": "batch", "expires_after": {"anchor": "created_at", "seconds": 5}}):  # fmt: skip
                with pytest.raises(openai.BadRequestError):
                    client.files.create(file=("a.txt", b"words"), **wrong)
            assert len(client.files.list().data) == 4
