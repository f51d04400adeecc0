"""`make kubernetes-schemas`: writes what Kubernetes accepts, of the kinds that the manifests use.

The schemas of each version come out of the package `kubernetes-validate`, which is made from the
OpenAPI descriptions of Kubernetes (Apache License 2.0). Kept are the kinds below and what they
refer to, without descriptions; a property that a kind does not have is refused. Needs pip.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SOURCE = "kubernetes-validate==1.37.0"
# The oldest that the manifests work with, and the three that were maintained in November 2026.
VERSIONS = ("1.30", "1.35", "1.36", "1.37")
KINDS = {
    "v1/ConfigMap": "configmap-v1",
    "v1/Namespace": "namespace-v1",
    "v1/Secret": "secret-v1",
    "v1/Service": "service-v1",
    "v1/ServiceAccount": "serviceaccount-v1",
    "apps/v1/Deployment": "deployment-apps-v1",
    "autoscaling/v2/HorizontalPodAutoscaler": "horizontalpodautoscaler-autoscaling-v2",
    "batch/v1/Job": "job-batch-v1",
    "networking.k8s.io/v1/Ingress": "ingress-networking-v1",
    "networking.k8s.io/v1/NetworkPolicy": "networkpolicy-networking-v1",
    "policy/v1/PodDisruptionBudget": "poddisruptionbudget-policy-v1",
}
DIRECTORY = Path(__file__).resolve().parent / "kubernetes"
LEFT_OUT = {"$id", "$schema", "default", "description", "format"}


def main() -> int:
    DIRECTORY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as into:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={into}", SOURCE]  # fmt: skip
        subprocess.run(command, check=True)
        (package,) = Path(into).iterdir()
        with zipfile.ZipFile(package) as archive:
            for version in VERSIONS:
                text = _written(_schema(archive, version))
                (DIRECTORY / f"{version}.json").write_text(text, "utf-8")
    return 0


def _schema(archive: zipfile.ZipFile, version: str) -> dict[str, dict[str, Any]]:
    """The kinds and the definitions that they need, by name."""
    folder = f"kubernetes_validate/kubernetes-json-schema/v{version}.0-local-strict"
    definitions = json.loads(archive.read(f"{folder}/_definitions.json"))["$defs"]
    found = {
        kind: _bare(json.loads(archive.read(f"{folder}/{name}.json")))
        for kind, name in KINDS.items()
    }
    wanted = [name for schema in found.values() for name in _references(schema)]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _bare(definitions[name])
            wanted += _references(found[name])
    return dict(sorted(found.items()))


def _bare(schema: Any) -> Any:
    match schema:
        case dict():
            kept = {
                key: {name: _bare(one) for name, one in value.items()}
                if key == "properties"
                else _bare(value)
                for key, value in schema.items()
                if key not in LEFT_OUT and not key.startswith("x-kubernetes")
            }
            if "$ref" in kept:
                return {"$ref": "#/$defs/" + kept["$ref"].rpartition("/")[2]}
            return kept
        case list():
            return [_bare(one) for one in schema]
    return schema


def _references(schema: Any) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference.removeprefix("#/$defs/")
        case dict():
            for one in schema.values():
                yield from _references(one)
        case list():
            for one in schema:
                yield from _references(one)


def _written(schemas: dict[str, dict[str, Any]]) -> str:
    """One schema a line, so that a difference can be read."""
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(schema, separators=(',', ':'), sort_keys=True)}"
        for name, schema in schemas.items()
    )
    return f'{{"source": "{SOURCE}", "$defs": {{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    sys.exit(main())
