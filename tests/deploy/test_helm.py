"""The charts, rendered and linted by Helm, and each object held against Kubernetes' schemas.

Helm is its official SDK in a library; the schemas are those that Kubernetes publishes. No cluster
takes the objects: what a scheduler or a kubelet does with them is not tested here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import kubernetes_validate
import pytest
import yaml
from helm_python import Chart
from helm_python.chart import lint

from silosynth.common.cli.app import build_app
from tests.support.deploy_commands import DEPLOY

HELM = DEPLOY / "helm"
SILO: dict[str, Any] = {
    "name": "north",
    "superlink": "superlink.example.org:9092",
    "superlinkCidrs": ["192.0.2.7/32"],
    "policySecret": "north-policy",
    "relaySecret": "north-relay",
    "caConfigMap": "federation-ca",
    "dataClaim": "people",
}
COORDINATOR: dict[str, Any] = {
    "superlinkSecret": "superlink",
    "coordinatorSecret": "hub",
    "caConfigMap": "federation-ca",
    "federations": '[hospitals]\nsuperlink = "localhost:9092"\n',
    "siloCidrs": ["192.0.2.0/24", "2001:db8::/32"],
}
NEEDED = {"silosynth-silo": SILO, "silosynth-coordinator": COORDINATOR}
PLACED = {
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "encrypted"},
    "tolerations": [{"key": "silo", "operator": "Exists"}],
    "image": {"digest": "sha256:" + "0" * 64},
}
CASES = [
    ("silosynth-silo", {}),
    ("silosynth-silo", {"newLedger": True, "gatewayWithoutNetwork": False}),
    ("silosynth-silo", {"state": {"existingClaim": "old"}, **PLACED}),
    ("silosynth-silo", {"state": {"storageClass": "fast", "size": "1Ti"}}),
    ("silosynth-coordinator", {}),
    ("silosynth-coordinator", {"superlink": {"storageClass": "fast"}, **PLACED}),
    ("silosynth-coordinator", {"service": {"type": "LoadBalancer", "annotations": {"a": "b"}}}),
]
VERSIONS = ("1.30", "1.37")


def render(chart: str, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of a chart, as Helm renders them."""
    with Chart.load(HELM / chart) as loaded:
        texts = loaded.render({**NEEDED[chart], **values}, name="first", namespace="silos")
    return [
        document
        for name, text in texts.items()
        if name.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the one object of a kind."""
    (found,) = [o for o in objects if o["kind"] == kind]
    return found


def pod_of(chart: str, **values: Any) -> dict[str, Any]:
    """Return the pod that a chart makes."""
    spec: dict[str, Any] = of_kind(render(chart, values), "StatefulSet")["spec"]["template"]["spec"]
    return spec


def containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every container of a pod, those that run first too."""
    yield from (*pod.get("initContainers", ()), *pod["containers"])


def named(pod: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a container by its name."""
    return next(c for c in containers(pod) if c["name"] == name)


@pytest.mark.parametrize(("chart", "values"), CASES)
def test_helm_finds_nothing_to_mend_and_kubernetes_knows_every_field(
    chart: str, values: dict[str, Any]
) -> None:
    found = lint(HELM / chart, {**NEEDED[chart], **values}, strict=True)
    said = [m["error"] for m in found["messages"] if m["error"] != "icon is recommended"]
    assert (said, found["errors"]) == ([], [])
    objects = render(chart, values)
    assert objects
    for document in objects:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_refuse_what_kubernetes_does_not_know() -> None:
    """The check above can fail."""
    pod = of_kind(render("silosynth-silo", {}), "StatefulSet")
    pod["spec"]["template"]["spec"]["containers"][0]["runAs"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("chart", sorted(NEEDED))
def test_what_is_missing_or_unknown_is_named(chart: str) -> None:
    for missing in NEEDED[chart]:
        with Chart.load(HELM / chart) as loaded, pytest.raises(Exception, match=missing):
            loaded.render({k: v for k, v in NEEDED[chart].items() if k != missing}, name="first")
    for wrong in ({"replicas": 2}, {"image": {"tagg": "x"}}, {"image": {"digest": "latest"}}):
        with Chart.load(HELM / chart) as loaded, pytest.raises(Exception, match=r"replicas|image"):
            loaded.render({**NEEDED[chart], **wrong}, name="first")


@pytest.mark.parametrize("chart", sorted(NEEDED))
def test_every_value_is_in_the_schema_and_has_a_word_of_its_own(chart: str) -> None:
    values = yaml.safe_load((HELM / chart / "values.yaml").read_text())
    schema = json.loads((HELM / chart / "values.schema.json").read_text())
    assert set(schema["properties"]) - {"global"} == set(values)
    assert not [v for v in schema["required"] if values[v]]


@pytest.mark.parametrize("chart", sorted(NEEDED))
def test_nothing_is_root_or_holds_a_right(chart: str) -> None:
    pod = pod_of(chart, **({"newLedger": True} if chart == "silosynth-silo" else {}))
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(pod):
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}, container["name"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] in (10000, 10001, 10002)
    assert not [v for v in pod["volumes"] if "hostPath" in v]


def test_gateway_and_relay_share_the_sockets_and_nothing_else() -> None:
    pod = pod_of("silosynth-silo", newLedger=True)
    gateway, relay = named(pod, "gateway"), named(pod, "relay")
    mounts = [{m["name"] for m in c["volumeMounts"]} for c in (gateway, relay)]
    assert mounts[0] & mounts[1] == {"shared"}
    users = [c["securityContext"]["runAsUser"] for c in (gateway, relay)]
    assert users == [10001, 10002]
    assert pod["securityContext"]["supplementalGroups"] == [10003]
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert secrets == {"policy": "north-policy", "node-key": "north-relay"}
    for container in containers(pod):
        mounted = {m["name"] for m in container["volumeMounts"]}
        private = {"policy", "silo", "state", "data"}
        assert container["securityContext"]["runAsUser"] == 10001 or not mounted & private
        assert container["securityContext"]["runAsUser"] == 10002 or "node-key" not in mounted
    data = next(v for v in pod["volumes"] if v["name"] == "data")
    assert data["persistentVolumeClaim"]["readOnly"] is True


def test_the_gateway_has_no_network_and_the_pod_lets_nobody_in() -> None:
    objects = render("silosynth-silo", {})
    pod = of_kind(objects, "StatefulSet")["spec"]["template"]
    assert "--no-network" in named(pod["spec"], "gateway")["args"]
    assert "ports" not in named(pod["spec"], "gateway")
    rules = of_kind(objects, "NetworkPolicy")["spec"]
    assert rules["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert rules["policyTypes"] == ["Ingress", "Egress"]
    assert rules["ingress"] == []
    superlink, dns = rules["egress"]
    assert superlink["to"] == [{"ipBlock": {"cidr": "192.0.2.7/32"}}]
    assert superlink["ports"] == [{"protocol": "TCP", "port": 9092}]
    assert {p["port"] for p in dns["ports"]} == {53}
    opened = named(pod_of("silosynth-silo", gatewayWithoutNetwork=False), "gateway")["args"]
    assert "--no-network" not in opened


def test_a_ledger_outlives_the_release_and_is_made_once() -> None:
    claim = of_kind(render("silosynth-silo", {}), "PersistentVolumeClaim")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "new-ledger" not in {c["name"] for c in containers(pod_of("silosynth-silo"))}
    first = named(pod_of("silosynth-silo", newLedger=True), "new-ledger")
    assert first["args"][:2] == ["silo", "new-ledger"]
    spec = of_kind(render("silosynth-silo", {}), "StatefulSet")["spec"]
    assert spec["replicas"] == 1
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] >= 330


@pytest.mark.parametrize("chart", sorted(NEEDED))
def test_commands_are_those_of_the_program_and_users_those_of_the_image(chart: str) -> None:
    image = (DEPLOY / "docker" / "Dockerfile").read_text()
    users = {int(uid) for uid in re.findall(r"--uid (\d+)", image)}
    pod = pod_of(chart, **({"newLedger": True} if chart == "silosynth-silo" else {}))
    for container in containers(pod):
        assert container["securityContext"]["runAsUser"] in users
        if "command" in container:
            continue
        words = container["args"]
        shown = help_of(words[: 2 if words[0] == "silo" else 1])
        for flag in (w for w in words if w.startswith("--")):
            assert flag in shown, (container["name"], flag)


def help_of(words: list[str]) -> str:
    """Return the names of a command's options."""
    from typer.main import get_command

    command: Any = get_command(build_app())
    for word in words:
        command = command.commands[word]
    return " ".join(option for p in command.params for option in p.opts)


def test_the_superlink_is_let_in_to_by_the_silos_alone_and_has_no_key_of_a_person() -> None:
    objects = render("silosynth-coordinator", {})
    rules = of_kind(objects, "NetworkPolicy")["spec"]
    assert [f["ipBlock"]["cidr"] for f in rules["ingress"][0]["from"]] == COORDINATOR["siloCidrs"]
    assert rules["egress"] == []
    pod = pod_of("silosynth-coordinator")
    superlink, hub = named(pod, "superlink"), named(pod, "coordinator")
    mounts = [{m["name"] for m in c["volumeMounts"]} for c in (superlink, hub)]
    assert mounts[0] & mounts[1] == {"ca"}
    assert "keys" not in mounts[0]
    given = of_kind(objects, "ConfigMap")["data"]["federations.toml"]
    assert given == COORDINATOR["federations"]
