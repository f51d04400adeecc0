"""The captures beside this file: what browsers and other gateways write about one account. All
values are invented.
"""

from __future__ import annotations

from pathlib import Path

PAGE = "https://business.gemini.google/home/cid/7c1e9a52-4b0d-4f8e-9a63-2d5b8e71c094?csesidx=548217093&mods"
IDS = {"csesidx": "548217093", "config_id": "7c1e9a52-4b0d-4f8e-9a63-2d5b8e71c094"}
COOKIES = {
    "secure_c_ses": "CSE.AdwtfZk1vH3Tq0LxYb8mN-2uRk7_cWpQeJ4sGd9oXiVhM5zBnKlA6yFtE1rUjPw",
    "host_c_oses": "COS.AfQx7LmB2vRtY9-kDn4_sWzHc8uJpG1eKiTo6XaVbNq3MyZl0rUfEjPdSgCh5Iw",
}
WHOLE = {**COOKIES, **IDS}
FOREIGN = "do_not_read"
"""Ends the value of each cookie that is another site's."""

FOLDER = Path(__file__).parent / "captures"
NAMES = sorted(file.name for file in FOLDER.iterdir())
_ONLY_COOKIES = (
    "cookie-editor.json",
    "cookie-header.txt",
    "cookie-table.txt",
    "cookies.txt",
    "edit-this-cookie.json",
)
_ONLY_IDS = ("address.txt", "chrome-sanitized.har")


def core(values: dict[str, str]) -> dict[str, str]:
    """The ids and the two cookies among the values of an account."""
    return {name: value for name, value in values.items() if name in WHOLE}


def text(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def told_by(name: str) -> dict[str, str]:
    """The values in a capture: a call of the API carries no cookies of the page, exported cookies
    carry no ids.
    """
    if name in _ONLY_COOKIES:
        return COOKIES
    return IDS if name in _ONLY_IDS or "widget" in name else WHOLE
