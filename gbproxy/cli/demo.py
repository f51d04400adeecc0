"""`gbproxy demo`: what `make demo` runs."""

from __future__ import annotations

import argparse


def define(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    del options  # it has none
    from gbproxy import demo
    from gbproxy.cli.serve import gunicorn_command

    return demo.run(gunicorn_command())
