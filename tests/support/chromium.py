"""The system's Chromium without a window, driven by Playwright; and what a page in it did.

Playwright's own browsers are neither needed nor downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    expect,
    sync_playwright,
)

from tests.support.polling import until
from tests.support.serving import ROOT

_CHROMIUM = shutil.which("chromium")
_AXE = ROOT / "tests/clients/node/node_modules/axe-core/axe.min.js"
_PATIENCE_MS = 60_000  # the machine may be busy with other things
_THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_WIDE, _NARROW = {"width": 1280, "height": 900}, {"width": 320, "height": 640}

expect.set_options(timeout=_PATIENCE_MS)

needs_chromium = pytest.mark.skipif(
    (_CHROMIUM is None or not _AXE.is_file()) and os.environ.get("CI") != "true",
    reason="NOT TESTED: the console in a browser. Chromium or axe-core is not here: `make ci-deps`"
    " installs them",
)


@contextmanager
def chromium() -> Iterator[Browser]:
    assert _CHROMIUM is not None, "Chromium is not here: make ci-deps installs it"
    with sync_playwright() as playwright:
        # Containers have no user namespaces for its sandbox; it sees our own pages alone.
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A person at a gateway, with a browser that has no cookies yet. All that its pages report as
    errors, and all hosts that they ask, are noted.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        # Without motion: what fades in has its colours at once, for pictures and for axe.
        given = {
            "locale": "en-US", "viewport": _WIDE, "color_scheme": "light",
            "reduced_motion": "reduce", **options,
        }  # fmt: skip
        self.url = url
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.context: BrowserContext = browser.new_context(**given)
        self.context.set_default_timeout(_PATIENCE_MS)
        self.context.on("request", lambda request: self._note_host(request.url))
        self.context.on("console", self._note_message)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))
        self.page: Page = self.context.new_page()

    def close(self) -> None:
        self.context.close()

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, key: str) -> None:
        page = self.open("/admin/sign-in")
        page.get_by_label(re.compile("Password|密码")).fill(key)
        page.get_by_role("button", name=re.compile("Sign in|登录")).click()
        page.wait_for_url(re.compile(r"/admin(?!/sign-in)"))

    def sign_out(self) -> None:
        self.page.get_by_role("button", name="Sign out").click()
        expect(self.page.get_by_text("You are signed out.")).to_be_visible()

    def narrow(self) -> None:
        """As wide as the narrowest phone."""
        self.page.set_viewport_size(_NARROW)  # type: ignore[arg-type]

    def wide(self, pixels: int) -> None:
        self.page.set_viewport_size({"width": pixels, "height": 900})

    def sideways(self) -> int:
        """How many pixels the page is wider than its window, or a table than its place."""
        self.page.wait_for_load_state()
        return int(
            self.page.evaluate(
                "Math.max(...[document.documentElement, ...document.querySelectorAll('.scroll')]"
                ".map(each => each.scrollWidth - each.clientWidth))"
            )
        )

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical on the page, in both themes."""
        self.page.wait_for_load_state()
        self.page.evaluate(_AXE.read_text())
        return [each for theme in _THEMES for each in self._violations_in(theme)]

    def _violations_in(self, theme: Literal["light", "dark"]) -> list[str]:
        self.page.emulate_media(color_scheme=theme)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{self.page.url} {theme} {each['id']}: {node['html']}"
            for each in found["violations"]
            if each["impact"] in ("serious", "critical")
            for node in each["nodes"]
        ]

    def focused(self) -> str:
        """What has the keyboard's focus: its name for people, or its text."""
        return str(
            self.page.evaluate(
                "(e => e.ariaLabel || e.labels?.[0]?.textContent || e.textContent)"
                "(document.activeElement)"
            )
        ).strip()

    def expect_refusal(self, status: int) -> None:
        """The browser has reported an answer of this status, as it should; the report is over."""
        self._expect(lambda error: f"status of {status} " in error)

    def expect_failed_requests(self) -> None:
        """The browser has reported that it could not reach the gateway, and htmx too, as they
        should; the reports are over.
        """
        unreached = ("net::ERR_FAILED", "htmx:error: Failed to fetch")
        self._expect(lambda error: any(words in error for words in unreached))

    def _expect(self, is_meant: Callable[[str], bool]) -> None:
        until(
            lambda: any(map(is_meant, self.errors)),
            message=lambda: self.errors,
            sleep=lambda seconds: self.page.wait_for_timeout(1000 * seconds),
        )
        self.errors = [each for each in self.errors if not is_meant(each)]

    def check(self) -> None:
        """No page reported an error, and none asked another host than the gateway."""
        assert self.errors == [], self.errors
        assert self.hosts <= {urlsplit(self.url).netloc}

    def _note_host(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")):
            self.hosts.add(urlsplit(url).netloc)

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)
