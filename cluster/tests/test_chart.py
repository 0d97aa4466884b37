"""The Helm chart: it renders, Kubernetes' own schemas accept what it renders, and its pods are safe by default."""

from __future__ import annotations

import pathlib
import tomllib
from typing import Any

import pytest
import yaml
from chart import Rendering, render, validate

from minerva_cluster.config import parse

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy/helm/minerva"
LEAST: dict[str, Any] = {
    "image": {"repository": "registry.example/minerva-cluster"},
    "nodes": {"models": {"hostPath": "/srv/models"}},
}
MORE: dict[str, Any] = {
    "image": {"repository": "registry.example/minerva-cluster", "tag": "x", "pullSecrets": ["registry"]},
    "nodes": {
        "count": 7,
        "models": {"claim": "models"},
        "state": {"hostPath": "/var/lib/minerva"},
        "nodeSelector": {"disk": "fast"},
        "tolerations": [{"key": "models", "operator": "Exists"}],
        "resources": {"limits": {"memory": "64Gi"}},
    },
    "head": {"redis": "redis:6379"},
    "cluster": {"give_back": "0s", "ingresses": 2},
    "daemon": 'policy = "hazard"',
    "allowedHosts": ["models.example"],
    "clients": {"app": "chat"},
}


@pytest.fixture(params=[LEAST, MORE], ids=["least", "more"])
def rendered(request: pytest.FixtureRequest) -> Rendering:
    return render(CHART, request.param)


def pods(rendered: Rendering) -> dict[str, dict[str, Any]]:
    cluster = rendered["RayService"]["spec"]["rayClusterConfig"]
    (workers,) = cluster["workerGroupSpecs"]
    return {"head": cluster["headGroupSpec"]["template"], "node": workers["template"]}


def test_kubernetes_accepts_it(rendered: Rendering) -> None:
    assert set(rendered) == {"ConfigMap", "NetworkPolicy", "RayService", "ServiceAccount"}
    for kind in ("ConfigMap", "NetworkPolicy", "ServiceAccount"):
        validate(rendered[kind])
    for name, template in pods(rendered).items():
        validate(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, **template["metadata"]},
                "spec": template["spec"],
            }
        )


def test_pods_are_safe_by_default(rendered: Rendering) -> None:
    for template in pods(rendered).values():
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in spec["initContainers"] + spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]  # the daemon's budget is a share of it


def test_there_is_one_pod_on_a_machine(rendered: Rendering) -> None:
    affinity = pods(rendered)["node"]["spec"]["affinity"]["podAntiAffinity"]
    (rule,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    (workers,) = rendered["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert '"minerva": 1' in workers["rayStartParams"]["resources"].replace("\\", "")
    assert workers["replicas"] == workers["minReplicas"] == workers["maxReplicas"]


def test_the_settings_are_settings(rendered: Rendering) -> None:
    data = rendered["ConfigMap"]["data"]
    config = parse(data["cluster.toml"], "cluster.toml")
    assert config.is_public
    assert "r-minerva-serve-svc" in config.cluster.allowed_hosts
    daemon = tomllib.loads(data["minerva.toml"])
    assert daemon["api_key_file"]
    serve = yaml.safe_load(rendered["RayService"]["spec"]["serveConfigV2"])
    module, _, name = serve["applications"][0]["import_path"].partition(":")
    assert callable(getattr(__import__(module, fromlist=[name]), name))


def test_what_is_set_arrives() -> None:
    rendered = render(CHART, MORE)
    config = parse(rendered["ConfigMap"]["data"]["cluster.toml"], "cluster.toml")
    assert (config.cluster.give_back, config.cluster.ingresses) == ("0s", 2)
    assert "models.example" in config.cluster.allowed_hosts
    assert tomllib.loads(rendered["ConfigMap"]["data"]["minerva.toml"])["policy"] == "hazard"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "image"),
        ({"image": {"repository": "x"}}, "nodes.models"),
        ({**LEAST, "nodez": 3}, "nodez"),
        ({**LEAST, "nodes": {"count": 0}}, "count"),
    ],
)
def test_a_mistake_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        render(CHART, values)
