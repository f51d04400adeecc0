"""Requests as they are sent (gbproxy/outbound/request_head.py)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import requests
from requests.exceptions import InvalidHeader, InvalidURL

from gbproxy.outbound.request_head import encoded, prepared

URL = "http://upstream.example/v1/call?x=1"
FIXED = {"Accept": "*/*", "Accept-Encoding": "gzip", "User-Agent": "test/1", "X-Name": "é"}


def sent_by(method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> bytes:
    """What requests would have sent to the server itself."""
    request = prepared(method, url, headers, body)
    target = requests.adapters.HTTPAdapter().request_url(request, {})
    return encoded(method, target, request.headers, body)


def test_a_request_is_its_line_its_headers_and_its_body() -> None:
    headers = {**FIXED, "Authorization": "Bearer one", "traceparent": "00-1"}

    assert sent_by("POST", URL, headers, b"body") == (
        b"POST /v1/call?x=1 HTTP/1.1\r\nHost: upstream.example\r\nAccept: */*\r\n"
        b"Accept-Encoding: gzip\r\nUser-Agent: test/1\r\nX-Name: \xe9\r\n"
        b"Authorization: Bearer one\r\ntraceparent: 00-1\r\nContent-Length: 4\r\n\r\nbody"
    )


def test_what_is_kept_of_a_request_is_not_what_is_its_own() -> None:
    first = {**FIXED, "Authorization": "Bearer one", "Cookie": "a=1", "traceparent": "00-1"}
    sent_by("POST", URL, first, b"first")

    sent = sent_by("POST", URL, {**FIXED, "Authorization": "Bearer two"}, b"second body")

    assert b"Bearer two\r\nContent-Length: 11\r\n\r\nsecond body" in sent
    assert not any(word in sent for word in (b"one", b"Cookie", b"traceparent", b"first"))


@pytest.mark.parametrize("name", ["traceparent", "Authorization", "Cookie"])
def test_a_header_of_its_own_replaces_a_fixed_one_however_that_is_written(name: str) -> None:
    sent = sent_by("GET", URL, {name.swapcase(): "fixed", name: "own"})

    assert sent.lower().count(name.lower().encode() + b": ") == 1
    assert b": own\r\n" in sent


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://upstream.example:80/", b"upstream.example"),
        ("http://upstream.example:8080/", b"upstream.example:8080"),
        ("https://upstream.example:443/", b"upstream.example"),
        ("https://user:word@upstream.example./", b"upstream.example"),
        ("http://[::1]:8080/", b"[::1]:8080"),
        ("http://[fe80::1%25eth0]/", b"[fe80::1]"),
    ],
)
def test_the_host_is_that_of_the_address(url: str, host: bytes) -> None:
    assert b"\r\nHost: %b\r\n" % host in sent_by("GET", url, {})


def test_without_a_body_only_what_has_one_by_its_kind_says_so() -> None:
    assert b"Content-Length" not in sent_by("GET", URL, {})
    assert sent_by("POST", URL, {}).endswith(b"\r\nContent-Length: 0\r\n\r\n")


def test_a_proxy_that_passes_requests_on_is_told_the_whole_address() -> None:
    sent = encoded("GET", URL, {}, None, (("Proxy-Authorization", "Basic x"),))

    assert sent.startswith(b"GET http://upstream.example/v1/call?x=1 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic x\r\n" in sent


@pytest.mark.parametrize("name", ["X-Name", "Authorization"])
@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\n", "a\r", " a", "名"])
def test_what_would_be_more_than_a_header_is_not_sent(name: str, value: str) -> None:
    with pytest.raises(InvalidHeader):
        sent_by("GET", URL, {name: value})


@pytest.mark.parametrize("name", ["X: 1", "X\r\nY", "", " X", "X\n"])
def test_what_is_no_name_is_not_sent(name: str) -> None:
    with pytest.raises(InvalidHeader):
        sent_by("GET", URL, {name: "1"})


def test_a_host_that_is_given_replaces_that_of_the_address() -> None:
    sent = sent_by("GET", URL, {"host": "other.example"})

    assert b"host: other.example\r\n" in sent
    assert b"upstream.example" not in sent


def test_no_address_makes_a_line_of_its_own() -> None:
    sent = sent_by("GET", "http://upstream.example/a b\r\nX: 1", {})

    assert sent.split(b"\r\n")[1] == b"Host: upstream.example"
    with pytest.raises(InvalidURL):
        sent_by("GET /x HTTP/1.1\r\nX:", URL, {})
    with pytest.raises(InvalidURL):
        encoded("GET", "/x HTTP/1.1\r\nX:", {}, None)
