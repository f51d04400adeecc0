"""The file of a backup: what is in it can be read with the passphrase alone, and only whole."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gbproxy.backup.envelope import BackupError, Cost, seal, unseal
from tests.support.backups import KEPT, PASSPHRASE

CHEAP = Cost(n=2)
CONTENT = b'{"accounts": []}'


def said(file: bytes, passphrase: str = "right") -> str:
    with pytest.raises(BackupError) as caught:
        unseal(file, passphrase)
    return str(caught.value)


@given(st.binary(max_size=200), st.text(min_size=1))
@settings(max_examples=20)
def test_what_was_sealed_is_read_with_its_passphrase(content: bytes, passphrase: str) -> None:
    assert unseal(seal(content, passphrase, CHEAP), passphrase) == content


def test_no_two_files_are_alike_and_none_shows_its_content() -> None:
    one, other = (seal(CONTENT, "right", CHEAP) for _ in range(2))

    assert one != other
    assert b"accounts" not in one
    assert base64.b64encode(CONTENT)[:12] not in one


def test_an_accent_may_be_typed_in_either_form() -> None:
    assert unseal(seal(CONTENT, "caf\u00e9", CHEAP), "cafe\u0301") == CONTENT


def test_a_file_may_have_gone_through_a_program_of_windows() -> None:
    assert unseal(seal(CONTENT, "right", CHEAP).replace(b"\n", b"\r\n"), "right") == CONTENT


def test_a_wrong_passphrase_is_told_from_an_altered_file() -> None:
    file = seal(CONTENT, "right", CHEAP)
    first, second, _ = file.split(b"\n")
    turned = b"A" if second[:1] != b"A" else b"B"

    assert said(file, "wrong").startswith("the passphrase is wrong")
    assert said(first + b"\n" + turned + second[1:]) == (
        "the passphrase is right, but the file was altered"
    )


@given(st.data())
@settings(max_examples=150)
def test_a_file_that_was_cut_or_altered_anywhere_is_refused(data: st.DataObject) -> None:
    file = seal(CONTENT, "right", CHEAP).rstrip(b"\n")
    place = data.draw(st.integers(0, len(file) - 1))
    if data.draw(st.booleans()):
        altered = file[:place]
    else:
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != file[place]))
        altered = file[:place] + bytes([byte]) + file[place + 1 :]

    try:
        content = unseal(altered, "right")
    except BackupError as error:
        message = str(error)
        assert "Traceback" not in message
        assert "right" not in message.replace("passphrase is right", "")
    else:
        # White space in the base64 is none of the content.
        assert content == CONTENT
        assert b"".join(altered.split()) == b"".join(file.split())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"version": 2}, "the file is of version 2, and this gbproxy reads up to 1"),
        ({"version": 0}, "the first line of the file was altered"),
        ({"format": "zip"}, "this is no backup of gbproxy's"),
        ({"kdf": None}, "the first line of the file was altered"),
        ({"bytes": 10_000}, "the file is cut: its end is missing"),
        ({"cipher": {"name": "rot13", "nonce": ""}}, "the first line of the file was altered"),
    ],
)
def test_a_first_line_that_cannot_be_used_is_refused(change: dict[str, object], told: str) -> None:
    first, _, rest = seal(CONTENT, "right", CHEAP).partition(b"\n")

    assert said(json.dumps(json.loads(first) | change).encode() + b"\n" + rest).startswith(told)


@pytest.mark.parametrize("cost", [{"n": 2**30}, {"r": 2**20}, {"p": 10_000}, {"n": 3}, {"n": 0}])
def test_a_file_cannot_take_all_memory_or_time(cost: dict[str, int]) -> None:
    first, _, rest = seal(CONTENT, "right", CHEAP).partition(b"\n")
    header = json.loads(first)
    header["kdf"] |= cost

    told = said(json.dumps(header).encode() + b"\n" + rest)

    assert told == "the first line of the file was altered"


@pytest.mark.parametrize("file", [b"", b"{}", b"PK\x03\x04", b"[" * 5000, b"\xff\xfe\x00"])
def test_what_is_no_backup_is_called_so(file: bytes) -> None:
    assert said(file).startswith("this is no backup of gbproxy's")


def test_a_file_of_version_1_is_read() -> None:
    content = json.loads(unseal(KEPT.read_bytes(), PASSPHRASE))

    assert [account["name"] for account in content["accounts"]] == ["anna", "ben"]
    assert [key["name"] for key in content["keys"]] == ["carl", "dora"]
