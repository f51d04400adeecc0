"""mkdocs' hook: the site has the pages at the repository's root beside those in docs/, all on one
level.

On GitHub links go by the places of the files, `../README.md` and `docs/api.md`; here they are made
to fit the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "bench/README.md",
)
# Files that pages lead to, and that are offered as they are.
FILES = (
    "LICENSE", "conf/env.example", "conf/compose.yaml", "conf/nginx.conf",
    "conf/prometheus-rules.yaml", "conf/systemd/gbproxy.service", "bench/baseline.json",
    "bench/peers/answers.py", "bench/peers/bare.py", "bench/peers/fastapi_aiohttp.py",
    "bench/peers/fastapi_httpx.py", "bench/results/documented.svg",
)  # fmt: skip


def on_config(config: Any) -> Any:
    """Anchors as GitHub makes them."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = anchor
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages and files from outside docs/."""
    from mkdocs.structure.files import File

    for name in (*PAGES, *FILES):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fit the links of one page."""
    return fitted(markdown, page.file.src_uri)


def fitted(markdown: str, name: str) -> str:
    """The text of a page whose links lead through the site: docs/ is its root."""
    if name in PAGES:
        return re.sub(r"(?<=\]\()(\.\./)?docs/(?=[^)\s]+\))", r"\1", markdown)
    return re.sub(r"(?<=\]\()\.\./(?=[^)\s]+\))", "", markdown)


def anchor(heading: str, separator: str) -> str:
    """The name by which GitHub links to a heading."""
    bare = re.sub(r"<[^>]*>", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", bare).replace(" ", separator)
