"""The type of a file by its bytes, label and name, and the name that it is sent by."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gbproxy.domain import zip_names
from gbproxy.domain.media_type_names import file_name, normalized
from gbproxy.domain.media_types import media_type

OOXML = "application/vnd.openxmlformats-officedocument."
WORD = f"{OOXML}wordprocessingml.document"


def archive(*names: str, stored: dict[str, str] | None = None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, text in {**(stored or {}), **dict.fromkeys(names, "x" * 2000)}.items():
            file.writestr(name, text)
    return packed.getvalue()


def ftyp(brand: bytes) -> bytes:
    return b"\x00\x00\x00\x20ftyp" + brand + b"\x00\x00\x00\x00mp42isom" + bytes(100)


BYTES = [
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff\xe0..JFIF", "image/jpeg"), (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"), (b"RIFF\x01\x02\x03\x04WEBPVP8 ", "image/webp"), (b"RIFF\x01\x02\x03\nWAVEfmt ", "audio/wav"),
    (b"RIFFaaaaAVI LIST", "video/x-msvideo"), (b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "image/bmp"), (b"II*\0", "image/tiff"),
    (ftyp(b"heic"), "image/heic"), (ftyp(b"mif1"), "image/heif"), (ftyp(b"avif"), "image/avif"), (ftyp(b"M4A "), "audio/mp4"),
    (ftyp(b"isom"), "video/mp4"), (ftyp(b"mp42"), "video/mp4"), (ftyp(b"qt  "), "video/quicktime"), (ftyp(b"3gp4"), "video/3gpp"),
    (b"%PDF-1.7", "application/pdf"), (b"{\\rtf1", "application/rtf"), (b"ID3\x04", "audio/mpeg"), (b"\xff\xfb\x90\x64", "audio/mpeg"),
    (b"\xff\xf3\x40\xc0", "audio/mpeg"), (b"\xff\xf1\x50\x80", "audio/aac"), (b"OggS\0\x02", "audio/ogg"),
    (b"OggS\0\x02" + bytes(22) + b"\x80theora", "video/ogg"), (b"fLaC", "audio/flac"), (b"FORM....AIFF", "audio/aiff"),
    (b"\x1a\x45\xdf\xa3\x01....\x42\x82\x84webm", "video/webm"), (b"\x1a\x45\xdf\xa3....matroska", "video/x-matroska"),
    (archive("a.txt"), "application/zip"), (archive("word/document.xml"), "application/zip"),
    (archive("[Content_Types].xml", "_rels/.rels", "word/document.xml"), WORD),
    (archive("[Content_Types].xml", "xl/workbook.xml"), f"{OOXML}spreadsheetml.sheet"),
    (archive("[Content_Types].xml", "ppt/presentation.xml"), f"{OOXML}presentationml.presentation"),
    (archive("a", stored={"mimetype": "application/epub+zip"}), "application/epub+zip"),
    (archive("a", stored={"mimetype": "application/vnd.oasis.opendocument.text"}), "application/vnd.oasis.opendocument.text"),
    (b"\x1f\x8b\x08", "application/gzip"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind"), BYTES, ids=[kind for _, kind in BYTES])
@pytest.mark.parametrize("label", ["", "image/svg+xml", "text/plain", "application/octet-stream"])
def test_the_first_bytes_count_more_than_the_label(content: bytes, kind: str, label: str) -> None:
    assert media_type(content, label, "notes.txt") == kind


@pytest.mark.parametrize(
    ("content", "label", "name", "kind"),
    [
        (b"a,b\n1,2\n", "text/csv", "", "text/csv"),
        (b"a,b\n1,2\n", "", "table.CSV", "text/csv"),
        (b"# Title", "text/plain; charset=utf-8", "readme.md", "text/markdown"),
        (b"# Title", "TEXT/X-Markdown", "", "text/markdown"),
        ("grüße 世界".encode(), "", "", "text/plain"),
        ("世".encode() * 3000, "", "", "text/plain"),
        (("世".encode() * 3000)[:4096], "", "", "text/plain"),  # the cut is inside a character
        ("gr\xfc\xdfe aus M\xfcnchen".encode("latin-1"), "", "brief.txt", "text/plain"),
        ("text".encode("utf-16"), "", "", "text/plain"),
        (b'{"a": 1}', "application/json", "", "application/json"),
        (b'{"a": 1}', "", "a.json", "application/json"),
        (b"  <!DOCTYPE HTML><p>", "", "", "text/html"),
        (b"<html>", "image/png", "fox.png", "text/html"),
        (b"<?xml version='1.0'?><a/>", "", "", "application/xml"),
        (b"<?xml version='1.0'?>\n<svg xmlns=''/>", "", "", "image/svg+xml"),
        (b"<svg/>", "image/svg+xml", "", "image/svg+xml"),
        (b"<p>", "text/html", "", "text/html"),
        (b"print('hello')", "", "main.py", "text/x-python"),
        (b"print('hello')", "application/x-python-code", "", "text/x-python"),
        (b"not a picture", "image/png", "fox.png", "text/plain"),
        (b"not a \x00 picture", "image/png", "fox.png", "application/octet-stream"),
        (b"\x00\x01\x02", "application/vnd.custom", "", "application/vnd.custom"),
        (b"\x00\x01\x02", "text/plain", "notes.txt", "application/octet-stream"),
        (b"\x00\x01\x02", "", "", "application/octet-stream"),
        (b"\x00\x01\x02", "no type", "x.unknown", "application/octet-stream"),
        (b"\x00\x01\x02", "audio/mp3", "", "audio/mpeg"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "", "old.XLS", "application/vnd.ms-excel"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/msword", "", "application/msword"),
        (ftyp(b"mp42"), "audio/x-m4a", "", "audio/mp4"),
        (ftyp(b"mp42"), "image/png", "x.m4a", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x01....\x42\x82\x84webm", "audio/webm", "", "audio/webm"),
        (ftyp(b"mif1"), "image/heic", "", "image/heic"),
        (b"RIFF\x01\x02\x03\nWAVEfmt ", "audio/x-wav", "", "audio/wav"),
    ],
)  # fmt: skip
def test_where_bytes_do_not_tell_the_label_counts_and_then_the_name(
    content: bytes, label: str, name: str, kind: str
) -> None:
    assert media_type(content, label, name) == kind


@pytest.mark.parametrize(
    ("given_name", "kind", "name"),
    [
        ("photo.png", "image/png", "photo.png"), ("PHOTO.JPEG", "image/jpeg", "PHOTO.JPEG"), ("photo.png", "image/jpeg", "photo.jpg"),
        ("photo", "image/png", "photo.png"), ("", "application/pdf", "file.pdf"), ("", "application/octet-stream", "file"),
        ("../../etc/passwd", "text/plain", "passwd.txt"), ("C:\\docs\\a.txt", "text/plain", "a.txt"), (".env", "text/plain", "env.txt"),
        ("a.b.c.tar.gz", "application/gzip", "a.b.c.tar.gz"), ("main.kt", "text/plain", "main.kt"), ("main.py", "text/plain", "main.py"),
        ("v1.2 notes", "text/plain", "v1.2 notes.txt"), ("x.weird", "image/png", "x.weird.png"), ("x.weird", "application/octet-stream", "x.weird"),
        ("naïve 世界.md", "text/markdown", "naïve 世界.md"), ("a\x00b\n\u202egnp.exe", "image/png", "abgnp.exe.png"),
        ("...", "image/gif", "file.gif"), ("x" * 300 + ".png", "image/png", "x" * 116 + ".png"), ('a"<>|*?:b.pdf', "application/pdf", "ab.pdf"),
        ("half \ud800.txt", "text/plain", "half.txt"),
    ],
)  # fmt: skip
def test_a_file_is_sent_by_a_plain_name_that_fits_its_type(
    given_name: str, kind: str, name: str
) -> None:
    assert file_name(given_name, kind) == name


@given(st.binary(max_size=200), st.text(max_size=40), st.text(max_size=40))
def test_any_bytes_have_a_type_and_any_name_can_be_sent(
    content: bytes, label: str, name: str
) -> None:
    kind = media_type(content, label, name)
    sent = file_name(name, kind)

    assert normalized(kind) or kind == "application/octet-stream"
    assert 0 < len(sent) <= 120
    assert sent.isprintable()
    assert not set(sent) & set('/\\"')
    assert file_name(sent, kind) == sent


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_broken_list_of_an_archive_has_no_names_and_no_errors(junk: bytes, at: int) -> None:
    good = archive("[Content_Types].xml", "word/document.xml")

    assert zip_names.of(good) == {"[Content_Types].xml", "word/document.xml"}
    for broken in (good[:at], junk, good[: -min(at, 22)] + junk, junk + good, good[:-6] + junk[:6]):
        assert zip_names.of(broken) <= zip_names.of(good) | zip_names.of(broken)


def test_an_endless_list_of_an_archive_is_looked_at_in_part() -> None:
    packed = archive(*(f"{number}" for number in range(3000)))

    assert len(zip_names.of(packed)) == 1000
