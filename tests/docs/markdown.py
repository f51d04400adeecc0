"""The little of Markdown that the project's own pages use: sections, tables, fenced blocks,
links.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the line on which it begins."""

    language: str
    text: str
    line: int

    @property
    def title(self) -> str:
        """Its first line, where that is a comment."""
        first = self.text.partition("\n")[0]
        return first.removeprefix("#").strip() if first.startswith("#") else ""


@dataclass(frozen=True)
class Section:
    """A heading, its rank, and what stands under it."""

    rank: int
    heading: str
    prose: str


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @classmethod
    def read(cls, name: str) -> Page:
        return cls(ROOT / name, (ROOT / name).read_text("utf-8"))

    def blocks(self, *languages: str) -> list[Block]:
        found = re.finditer(r"^```(\w*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        blocks = [Block(m[1], m[2], self.text.count("\n", 0, m.start()) + 1) for m in found]
        return [block for block in blocks if not languages or block.language in languages]

    @property
    def prose(self) -> str:
        """All but the fenced blocks."""
        return re.sub(r"^```.*?^```$", "", self.text, flags=re.MULTILINE | re.DOTALL)

    def section(self, heading: str) -> Page:
        """From a heading to the next one of its own rank or above."""
        start = re.search(rf"^(#+) {re.escape(heading)}$", self.text, re.MULTILINE)
        assert start is not None, f"{self.path.name} has no section {heading!r}"
        rest = self.text[start.end() :]
        end = re.search(
            rf"^#{{1,{len(start[1])}}} ",
            re.sub(r"(?m)^```.*?^```$", _blank, rest, flags=re.S),
            re.M,
        )
        return Page(self.path, rest[: end.start()] if end else rest)

    def sections(self) -> list[Section]:
        """All headings in their order, each with its own prose, up to the next heading of any
        rank.
        """
        parts = re.split(r"^(#+) (.*)$", self.prose, flags=re.MULTILINE)[1:]
        return [Section(len(parts[i]), parts[i + 1], parts[i + 2]) for i in range(0, len(parts), 3)]

    def rows(self) -> list[list[str]]:
        """The cells of all tables, without their heads."""
        lines = self.prose.splitlines()
        heads = {
            number - 1 for number, line in enumerate(lines) if re.fullmatch(r"\|(-+\|)+", line)
        }
        skipped = heads | {number + 1 for number in heads}
        tables = [
            line
            for number, line in enumerate(lines)
            if line.startswith("|") and number not in skipped
        ]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]

    def anchors(self) -> list[str]:
        """The names by which the headings are linked to, in their order, made as GitHub makes
        them.
        """
        seen: dict[str, int] = {}
        anchors = []
        for section in self.sections():
            slug = re.sub(r"[^\w\- ]", "", section.heading.lower()).replace(" ", "-")
            anchors.append(f"{slug}-{seen[slug]}" if slug in seen else slug)
            seen[slug] = seen.get(slug, 0) + 1
        return anchors

    def links(self) -> Iterator[str]:
        yield from re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", self.prose))


def pages() -> list[Page]:
    """All pages for people: those at the root, those in docs/, and the benchmark's."""
    roots = [
        "README.md",
        "README.zh-CN.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "bench/README.md",
    ]
    return [
        Page.read(name)
        for name in [
            *roots,
            *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
        ]
    ]


def code(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])
