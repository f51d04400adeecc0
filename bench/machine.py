"""Describes the machine and the versions that figures depend on. Nothing names the machine or a
place on it.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

from bench.subjects import ROOT, find_nginx
from bench.tools import compiler

_PACKAGES = (
    "gbproxy",
    "flask",
    "gunicorn",
    "gevent",
    "requests",
    "urllib3",
    "orjson",
    "fastapi",
    "aiohttp",
    "httpx",
    "uvicorn",
    "uvloop",
    "httptools",
)
_PACKAGES_IF_THERE = ("gunicorn_h1c",)


def facts() -> dict[str, object]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": _numbers(platform.release()),
        "python": platform.python_version(),
        "compiler": _numbers(_first_line([compiler(), "--version"]).rpartition(")")[2]),
        "nginx": _numbers(_first_line([nginx, "-v"])) if (nginx := find_nginx()) else None,
        "commit": _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty"]) or None,
        **{name: _version(name) for name in _PACKAGES},
        **{name: version for name in _PACKAGES_IF_THERE if (version := _version(name))},
    }


def load_average() -> float:
    return round(os.getloadavg()[0], 2)


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(text: str) -> str | None:
    found = re.search(r"\d+(\.\d+)+", text)
    return found[0] if found else None


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603
    except OSError:
        return ""
    return next(iter((done.stdout or done.stderr).splitlines()), "") if done.returncode == 0 else ""
