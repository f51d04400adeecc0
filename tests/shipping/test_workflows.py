""".github: what GitHub reads is valid, every action is pinned, nothing may do more than it must, and
the steps call what there is. `make lint` looks through the workflows too, with zizmor and
jactionlint.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

from gbproxy.version import __version__
from tests.support.serving import ROOT

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [
    path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"
]
SCHEMAS = {
    **dict.fromkeys(WORKFLOWS, "github-workflows"),
    **dict.fromkeys(FORMS, "github-issue-forms"),
    GITHUB / "ISSUE_TEMPLATE/config.yml": "github-issue-config",
    GITHUB / "dependabot.yml": "dependabot",
}
# What a job may do beside reading the repository: each for one reason.
MAY_WRITE = {
    ("release.yml", "image", "packages"),
    ("release.yml", "image", "id-token"),
    ("release.yml", "image", "attestations"),
    ("release.yml", "tag", "packages"),
    ("release.yml", "package", "id-token"),
    ("release.yml", "release", "contents"),
}


def loaded(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = YAML(typ="safe").load(path.read_text("utf-8"))
    return made


def jobs(path: Path) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = loaded(path)["jobs"]
    return found


def commands() -> Iterator[str]:
    for path in WORKFLOWS:
        for job in jobs(path).values():
            yield from (step["run"] for step in job["steps"] if "run" in step)


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_it_is_valid_by_its_schema(path: Path) -> None:
    vendored = importlib.resources.files("check_jsonschema.builtin_schemas.vendor")
    schema = json.loads(vendored.joinpath(f"{SCHEMAS[path]}.json").read_text("utf-8"))

    mistakes = validator_for(schema)(schema).iter_errors(loaded(path))

    assert [f"{list(mistake.absolute_path)}: {mistake.message}" for mistake in mistakes] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_says_its_version(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text("utf-8"))

    assert used
    assert [
        line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []


def test_one_action_has_one_version() -> None:
    used = {
        line for path in WORKFLOWS for line in re.findall(r"uses: (.*)", path.read_text("utf-8"))
    }

    assert len({line.partition("@")[0] for line in used}) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_may_do_more_than_it_must(path: Path) -> None:
    workflow = loaded(path)
    writing = {
        (path.name, name, scope)
        for name, job in workflow["jobs"].items()
        for scope, level in job["permissions"].items()
        if level != "read"
    }

    assert workflow["permissions"] == {}
    assert writing == {entry for entry in MAY_WRITE if entry[0] == path.name}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    assert "pull_request_target" not in path.read_text("utf-8")


def test_artifacts_are_fetched_by_name() -> None:
    """docker/build-push-action leaves one that download-artifact cannot unpack."""
    fetching = [
        step
        for path in WORKFLOWS
        for job in jobs(path).values()
        for step in job["steps"]
        if step.get("uses", "").startswith("actions/download-artifact@")
    ]

    assert fetching
    assert all(step["with"].keys() & {"name", "pattern"} for step in fetching)


def test_each_supported_python_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    prefix = "Programming Language :: Python :: 3."
    named = [word.rpartition(" ")[2] for word in project["classifiers"] if word.startswith(prefix)]

    tried = jobs(GITHUB / "workflows/ci.yml")["check"]["strategy"]["matrix"]["python"]

    assert tried == named
    assert f">={tried[0]}" == project["requires-python"]


def test_every_make_target_that_is_called_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    called = {
        word
        for command in commands()
        for line in re.findall(r"^\s*make ([^\n]*)", command, re.MULTILINE)
        for word in line.split()
        if "=" not in word
    }

    assert called >= {"ci-deps", "check", "test-slow", "docs", "dist", "sbom", "audit"}
    assert called <= targets


def test_what_dependabot_keeps_current_is_there() -> None:
    updates = {
        entry["package-ecosystem"]: entry for entry in loaded(GITHUB / "dependabot.yml")["updates"]
    }
    files = {"pip": "requirements.in", "docker": "Dockerfile", "docker-compose": "compose.yaml", "npm": "package.json", "github-actions": ".github/workflows/ci.yml"}  # fmt: skip

    assert updates.keys() == files.keys()
    for ecosystem, file in files.items():
        assert (ROOT / updates[ecosystem]["directory"].strip("/") / file).is_file()


@pytest.mark.parametrize(
    ("tag", "heading", "status"),
    [
        (f"v{__version__}", f"## [{__version__}] - 2026-11-30", 0),
        ("v9.9.9", f"## [{__version__}] - 2026-11-30", 1),
        (f"v{__version__}", "## [9.9.9] - 2026-11-30", 1),
    ],
)
def test_a_tag_is_released_only_as_the_version_that_the_changelog_tells_of(
    tmp_path: Path, tag: str, heading: str, status: int
) -> None:
    steps = jobs(GITHUB / "workflows/release.yml")["build"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("id") == "version")
    (tmp_path / "gbproxy").mkdir()
    version = (ROOT / "gbproxy/version.py").read_text("utf-8")
    (tmp_path / "gbproxy/version.py").write_text(version, "utf-8")
    text = f"# Changelog\n\n## [Unreleased]\n\n{heading}\n\n- This.\n\n## [0.0.1]\n\n- That.\n"
    (tmp_path / "CHANGELOG.md").write_text(text, "utf-8")
    said = {"GITHUB_REF_NAME": tag, "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(tmp_path / "output")}  # fmt: skip

    ran = subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={"PATH": os.environ["PATH"], **said}, capture_output=True, check=False)  # fmt: skip

    assert ran.returncode == status
    if status == 0:
        assert (tmp_path / "output").read_text() == f"version={__version__}\n"
        assert (tmp_path / "notes.md").read_text().split() == ["-", "This."]


def needed_by(name: str, release: Mapping[str, Mapping[str, Any]]) -> set[str]:
    direct = set(release[name].get("needs", []))
    return direct.union(*(needed_by(each, release) for each in direct))


def test_an_image_gets_its_tag_only_after_it_was_tried_on_both_architectures() -> None:
    release = jobs(GITHUB / "workflows/release.yml")
    (push,) = (step["with"] for step in release["image"]["steps"] if step.get("id") == "push")

    assert "tags" not in push
    assert "push-by-digest=true" in push["outputs"]
    assert (push["provenance"], push["sbom"]) == ("mode=max", True)
    assert release["smoke"]["strategy"]["matrix"]["runner"] == ["ubuntu-24.04", "ubuntu-24.04-arm"]
    assert release["smoke"]["env"]["IMAGE"].endswith("@${{ needs.image.outputs.digest }}")
    assert all("smoke" in needed_by(name, release) for name in ("tag", "package", "release"))


@pytest.mark.parametrize(("found", "succeeds"), [("sha256:1f", True), ("sha256:2e", False)])
def test_the_tag_is_put_on_the_digest_that_was_tried(
    tmp_path: Path, found: str, succeeds: bool
) -> None:
    steps = jobs(GITHUB / "workflows/release.yml")["tag"]["steps"]
    (script,) = (step["run"] for step in steps if step.get("id") == "tag")
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\ntest "$3" = create || echo {found}\n')  # fmt: skip
    docker.chmod(0o755)
    given = {"IMAGE": "registry.test/gbproxy", "DIGEST": "sha256:1f", "VERSION": "0.2.0"}

    ran = subprocess.run(["bash", "-e", "-c", script], env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **given}, capture_output=True, check=False)  # fmt: skip

    assert (ran.returncode == 0) is succeeds
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "buildx imagetools create --tag registry.test/gbproxy:0.2.0 registry.test/gbproxy@sha256:1f"  # fmt: skip
