"""Brings the console's catalogues up to its texts: `make console-texts`. What is new is left empty
in each .po for a translator, what is gone is taken out, and the .mo files are written.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages import extract, mofile, pofile
from babel.messages.catalog import Catalog

CONSOLE = Path(__file__).resolve().parents[1] / "gbproxy" / "console"
CONNECT = CONSOLE.parent / "connect"  # its texts for people are shown by the console
TRANSLATIONS = CONSOLE / "translations"
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_OPTIONS = {"templates/**.html": {"silent": "false"}}
_KEYWORDS = {**extract.DEFAULT_KEYWORDS, "lazy_gettext": None}
_LINES = 100_000  # of one message: never wrapped


def texts() -> Catalog:
    """All texts of the console, in English."""
    found = Catalog(project="gbproxy")
    for folder in (CONSOLE, CONNECT):
        for file, _, message, comments, context in extract.extract_from_dir(
            folder, _METHODS, _OPTIONS, _KEYWORDS
        ):
            found.add(message, None, [(file, 0)], auto_comments=comments, context=context)
    return found


def read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return pofile.read_po(file, locale=path.parts[-3])


def compiled(catalogue: Catalog) -> bytes:
    content = io.BytesIO()
    mofile.write_mo(content, catalogue)
    return content.getvalue()


def main() -> None:
    for path in sorted(TRANSLATIONS.glob("*/LC_MESSAGES/messages.po")):
        catalogue = read(path)
        created = catalogue.creation_date
        catalogue.update(texts(), no_fuzzy_matching=True)
        catalogue.creation_date = created  # else each call would change the file
        catalogue.obsolete.clear()
        with path.open("wb") as file:
            pofile.write_po(
                file, catalogue, width=_LINES, omit_header=False, no_location=True, sort_output=True
            )
        path.with_suffix(".mo").write_bytes(compiled(read(path)))


if __name__ == "__main__":
    main()
