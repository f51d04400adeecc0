"""conf/compose.yaml: valid by Compose's own schema, and in step with the settings, the Dockerfile
and the simulator.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from docs.settings_page import documented
from gbproxy import settings
from gbproxy.domain.catalogue import built_in_names
from gbproxy.settings import Settings
from gbproxy.settings.environment import IN_FILES
from tests.container.test_dockerfile import last
from tests.docs.markdown import Page
from tests.support.serving import ROOT, free_port, in_process, process

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "conf/compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
GATEWAYS = {
    name: service for name, service in SERVICES.items() if "HOST" in service.get("environment", {})
}
TO_SPARE_S = 15  # as `make docker-run` gives
# variables of the database's own image
OF_IMAGES = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE"}

each_gateway = pytest.mark.parametrize("service", GATEWAYS.values(), ids=GATEWAYS)


def test_it_is_valid_by_compose_s_own_schema() -> None:
    schema = importlib.resources.files("check_jsonschema.builtin_schemas.vendor").joinpath(
        "compose-spec.json"
    )
    validator = jsonschema.validators.validator_for(json.loads(schema.read_text("utf-8")))

    mistakes = validator(json.loads(schema.read_text("utf-8"))).iter_errors(COMPOSE)

    assert [
        f"{'.'.join(map(str, mistake.absolute_path))}: {mistake.message}" for mistake in mistakes
    ] == []


def test_a_mistake_would_be_found() -> None:
    schema = importlib.resources.files("check_jsonschema.builtin_schemas.vendor").joinpath(
        "compose-spec.json"
    )
    broken = COMPOSE | {"services": {"gateway": SERVICES["gateway"] | {"stop_grace": "2m"}}}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, json.loads(schema.read_text("utf-8")))


def test_every_variable_is_a_setting() -> None:
    known = {name for setting in documented() for name in (setting.name, *setting.aliases)}
    known |= {f"{name}_FILE" for name in known & IN_FILES}
    named = {name for service in SERVICES.values() for name in service.get("environment", {})}
    filled_in = set(
        re.findall(r"(?<!\$)\$\{(\w+)", (ROOT / "conf/compose.yaml").read_text("utf-8"))
    )

    assert named | filled_in <= known | OF_IMAGES
    assert named >= OF_IMAGES


def test_images_of_others_are_pinned_by_version_and_digest() -> None:
    images = {name: each["image"] for name, each in SERVICES.items() if "build" not in each}

    assert images.keys() == {"postgresql", "redis"}
    for image in images.values():
        assert re.fullmatch(r"\w+:\d+(\.\d+)+-alpine@sha256:[0-9a-f]{64}", image)


@each_gateway
def test_the_settings_are_understood(service: Mapping[str, Any]) -> None:
    own = {
        name: value for name, value in service["environment"].items() if not name.endswith("_FILE")
    }

    loaded = settings.load({"API_KEYS": "sk-9f2c41d07ab84e5e11", **own}, built_in_names())

    assert loaded.ignored == ()
    assert loaded.host == "0.0.0.0"


@each_gateway
def test_it_is_locked_up_as_make_docker_run_does_it(service: Mapping[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["tmpfs"] == "/tmp"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == last("USER")
    assert (ROOT / "conf" / service["build"] / "Dockerfile").exists()


@each_gateway
def test_the_ports_are_those_of_the_dockerfile(service: Mapping[str, Any]) -> None:
    default = str(Settings.model_fields["port"].default)
    (published,) = service["ports"]

    assert service["environment"]["PORT"] == last("EXPOSE") == default
    assert published.removeprefix("127.0.0.1:") == f"${{PORT:-{default}}}:{default}"


def test_a_key_that_everybody_knows_serves_this_machine_only() -> None:
    with_keys = [service for service in GATEWAYS.values() if "API_KEYS" in service["environment"]]

    assert with_keys
    assert all(service["ports"][0].startswith("127.0.0.1:") for service in with_keys)


def test_what_it_sets_wins_over_the_file_of_settings(tmp_path: Path) -> None:
    """Also over the same setting by another name, of which an older program's file has some."""
    of_file = {
        "HOST": "127.0.0.1", "SERVER_ADDRESS": "127.0.0.1", "PORT": "9000", "SERVER_PORT": "9000",
        "DATABASE_URL": "sqlite:////data/gbproxy.db", "SECRET_KEY": "another-secret-key-1",
        "REDIS_URL": "redis://elsewhere:6379/0", "REDIS_URL_FILE": str(tmp_path / "redis_url"),
    }  # fmt: skip
    (tmp_path / "database_url").write_text("postgresql://gbproxy:word@postgresql:5432/gbproxy")
    (tmp_path / "secret_key").write_text("the-secret-key-of-the-file")
    (tmp_path / "redis_url").write_text("redis://third:6379/0")
    own = {
        name: value.replace("/run/secrets", str(tmp_path))
        for name, value in SERVICES["gateway"]["environment"].items()
    }

    loaded = settings.load(
        {"API_KEYS": "sk-9f2c41d07ab84e5e11", **of_file, **own}, built_in_names()
    )

    assert (loaded.host, loaded.port) == ("0.0.0.0", 8080)
    assert loaded.database_url is not None
    assert loaded.database_url.get_secret_value().startswith("postgresql://")
    assert [key.get_secret_value() for key in loaded.secret_keys] == ["the-secret-key-of-the-file"]
    assert loaded.redis_url is not None
    assert loaded.redis_url.get_secret_value() == "redis://redis:6379/0"


@each_gateway
def test_the_health_check_is_that_of_the_dockerfile(service: Mapping[str, Any]) -> None:
    options, _, command = last("HEALTHCHECK").partition("CMD ")
    told = service["healthcheck"]

    assert told["test"] == ["CMD", *json.loads(command)]
    named = dict(option.removeprefix("--").split("=") for option in options.split())
    assert {name.replace("-", "_"): value for name, value in named.items()} == {
        name: str(told[name]) for name in ("interval", "timeout", "start_period", "retries")
    }


@each_gateway
def test_it_has_more_time_to_stop_than_answers_have_to_finish(service: Mapping[str, Any]) -> None:
    given = service["environment"]
    grace = re.fullmatch(r"(\d+)s", service["stop_grace_period"])

    assert grace is not None
    assert (
        int(grace[1])
        == float(given["DRAIN_DELAY_S"]) + float(given["GRACEFUL_TIMEOUT_S"]) + TO_SPARE_S
    )


def test_who_is_waited_for_says_that_it_is_healthy_and_can_be_reached() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[name]
            assert {*SERVICES[name]["networks"]} & {*service["networks"]}
            assert {*SERVICES[name].get("profiles", [])} <= {*service.get("profiles", [])}


def test_everything_that_is_declared_is_used() -> None:
    volumes = {
        entry.partition(":")[0]
        for service in SERVICES.values()
        for entry in service.get("volumes", [])
    }
    networks = {name for service in SERVICES.values() for name in service["networks"]}
    held = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    paths = [
        value.removeprefix("/run/secrets/")
        for service in SERVICES.values()
        for name, value in service.get("environment", {}).items()
        if name.endswith("_FILE") and value
    ]

    assert volumes == COMPOSE["volumes"].keys()
    assert networks == COMPOSE["networks"].keys()
    assert held == set(paths) == COMPOSE["secrets"].keys()


def test_the_files_of_secrets_are_kept_out_of_the_repository_and_made_as_the_documentation_says() -> (
    None
):
    files = {secret["file"].removeprefix("../") for secret in COMPOSE["secrets"].values()}
    told = Page.read("docs/deployment.md").section("Compose").blocks("console")[0].text

    assert "/secrets/" in (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert files == set(re.findall(r"> (secrets/\w+)", told))


def test_the_demo_answers_out_of_its_simulator() -> None:
    """As the two services would, on loopback instead of their network."""
    command, demo = SERVICES["simulator"]["command"], SERVICES["demo"]["environment"]
    port = str(free_port())
    on_loopback = [
        "127.0.0.1" if word == "0.0.0.0" else port if word == "9090" else word for word in command
    ]
    own = {
        name: value.replace("simulator:9090", f"127.0.0.1:{port}") for name, value in demo.items()
    }

    with process([sys.executable, "-m", "gbproxy", *on_loopback], {}) as simulator:
        simulator.wait_for(lambda: simulator.stdout or None)
        healthy = probe(SERVICES["simulator"]["healthcheck"]["test"], port)
        with in_process(own) as gateway:
            gateway.key = demo["API_KEYS"]
            reply = gateway.ask()

    assert healthy == 0
    assert probe(SERVICES["simulator"]["healthcheck"]["test"], port) != 0
    assert reply.succeeded
    assert reply.text


def probe(test: list[str], port: str) -> int:
    kind, python, *rest = test
    assert (kind, python) == ("CMD", "python")
    command = [sys.executable, *(word.replace("9090", port) for word in rest)]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"]}, capture_output=True, check=False
    ).returncode
