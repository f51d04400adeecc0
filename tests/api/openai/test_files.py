"""Forms of OpenAI's files as programs send them that have no SDK."""

from __future__ import annotations

import pytest

from tests.support.serving import InProcess, Reply


def upload(app: InProcess, **fields: str) -> Reply:
    values = {"purpose": "user_data", **fields}
    parts = [f'Content-Disposition: form-data; name="{n}"\r\n\r\n{v}' for n, v in values.items()]
    parts.append('Content-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nwords')
    body = "".join(f"--of-it\r\n{part}\r\n" for part in parts) + "--of-it--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=of-it"}
    return app.request("POST", "/v1/files", body, {**app.headers, **kind})


def test_an_expiry_may_be_one_field_of_json(app: InProcess) -> None:
    reply = upload(app, expires_after='{"anchor": "created_at", "seconds": 7200}')

    assert reply.status == 200, reply.body
    assert reply.json()["expires_at"] == reply.json()["created_at"] + 7200


@pytest.mark.parametrize(
    ("expiry", "param"),
    [
        ("7200", "expires_after"),
        ("{", "expires_after"),
        ("{}", "expires_after.anchor"),
        ('{"anchor": "now", "seconds": 7200}', "expires_after.anchor"),
        ('{"anchor": "created_at"}', "expires_after.seconds"),
        ('{"anchor": "created_at", "seconds": 5}', "expires_after.seconds"),
        ('{"anchor": "created_at", "seconds": true}', "expires_after.seconds"),
    ],
)
def test_an_expiry_that_is_none_is_refused(app: InProcess, expiry: str, param: str) -> None:
    reply = upload(app, expires_after=expiry)

    assert (reply.status, reply.error["param"]) == (400, param)
