"""`python -m bench`: the whole benchmark; `python -m bench check`: gbproxy's costs against the
committed ones.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from bench.check import check
from bench.loads import ALL
from bench.ratios import NoRatio
from bench.results import NoPlace
from bench.run import bench
from bench.subjects import START
from bench.tools import Unusable

_CANNOT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """0; 1 when a row has errors or a ratio is too bad; 2 when this machine cannot do it."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.document and (options.subjects or options.loads):
        parser.error("only a whole run goes into the documentation")
    signal.signal(signal.SIGTERM, _end)
    try:
        if options.command == "check":
            return check(update=options.update)
        return bench(options.subjects, options.loads, document=options.document)
    except Unusable as error:
        sys.stderr.write(f"bench: {error}\n")
        return _CANNOT
    except (NoRatio, NoPlace) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _end(number: int, frame: FrameType | None) -> None:
    """Leave through every `finally`, so that nothing of ours stays behind."""
    del frame
    raise SystemExit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parser.add_argument(
        "--subjects", nargs="+", choices=tuple(START), default=(), help="only these"
    )
    parser.add_argument(
        "--loads", nargs="+", choices=[load.name for load in ALL], default=(), help="only these"
    )
    parser.add_argument(
        "--document",
        action="store_true",
        help="write a whole run without errors into the documentation",
    )
    check = commands.add_parser(
        "check",
        help="fail when gbproxy has become more than 30 %% dearer, beside the bare recipe",
    )
    check.add_argument("--update", action="store_true", help="write bench/baseline.json instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
