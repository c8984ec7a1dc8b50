"""The chart in `deploy/helm`: its values against their schema, and what Helm makes of it where it is."""

import copy
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from conftest import SERVICES, service_of
from tests.programs import needs

from common.contracts.envelope import PARTITIONS
from penguinmails import compose, gateway
from penguinmails.home import REPOSITORY, Home

CHART = REPOSITORY / "deploy" / "helm"
HELM = shutil.which("helm") or shutil.which("helm", path=str(REPOSITORY / ".cache" / "bin"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
Values = dict[str, Any]
Manifest = dict[str, Any]


def merged(below: Any, above: Any) -> Any:
    """As Helm does it: maps by key, anything else replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {**below, **{key: merged(below.get(key), value) for key, value in above.items()}}
    return copy.deepcopy(above)


@pytest.fixture
def values() -> Values:
    """The defaults with those of an installation."""
    defaults, own = (yaml.safe_load((CHART / name).read_text()) for name in ("values.yaml", "ci/values.yaml"))
    together: Values = merged(defaults, own)
    return together


def errors(values: Values) -> list[str]:
    return [
        "/".join(map(str, error.instance_path))
        for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(values)
    ]


def test_an_installation_s_values_are_valid_and_the_defaults_alone_are_not(values: Values) -> None:
    assert errors(values) == []
    missing = errors(yaml.safe_load((CHART / "values.yaml").read_text()))
    services = {f"services/{name}/{key}" for name in SERVICES for key in ("secret", "migrations/secret")}
    assert set(missing) == {"publicUrl", "kafka/bootstrapServers", "files/url", *services}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("publicUrl", "https://api.mail.example/"),
        ("kafka/bootstrapServers", "kafka"),
        ("files/url", "file:///somewhere"),
        ("tracing/ratio", 25),
        ("settings/tenancyKey", "x"),
        ("services/auth/settings/KEY_ENCRYPTION_KEY", "00"),
        ("services/auth/settings/DATABASE_URL", "postgresql://"),
        ("services/campaigns/roles/consume/replicas", PARTITIONS + 1),
        ("services/campaigns/roles/consume/autoscaling/maxReplicas", PARTITIONS + 1),
        ("services/campaigns/roles/consumer", {}),
        ("services/mail", {}),
        ("gateway/service/type", "ExternalName"),
        ("replicas", 3),
    ],
)
def test_what_cannot_work_is_refused(path: str, value: Any, values: Values) -> None:
    *folders, last = path.split("/")
    place = values
    for folder in folders:
        place = place[folder]
    place[last] = value
    assert errors(values)


def test_no_secret_fits_into_the_values(values: Values) -> None:
    """A chart's values are kept in plain sight, in the cluster and elsewhere."""
    for name in compose.SECRETS:
        if name != "SERVICE_PUBLIC_KEYS":
            assert errors(merged(values, {"settings": {name: "x"}})), name


needs_helm = needs("helm", HELM, "`make chart-check` builds it")


def render(*options: str) -> list[Manifest]:
    command = [str(HELM), "template", "pm", str(CHART), "--kube-version", "1.34", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    return render("--values", str(CHART / "ci" / "values.yaml"))


def of_kind(manifests: list[Manifest], *kinds: str) -> dict[str, Manifest]:
    return {manifest["metadata"]["name"]: manifest for manifest in manifests if manifest["kind"] in kinds}


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Pod specifications, by whose they are."""
    owners = of_kind(manifests, "Deployment", "Job")
    return {name: owner["spec"]["template"]["spec"] for name, owner in owners.items()}


@needs_helm
def test_helm_finds_nothing_wrong() -> None:
    command = [
        str(HELM),
        "lint",
        "--strict",
        "--kube-version",
        "1.34",
        str(CHART),
        "--values",
        "ci/values.yaml",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHART)
    assert done.returncode == 0, done.stdout
    refused = subprocess.run([str(HELM), "template", "pm", str(CHART)], capture_output=True, check=False)
    assert refused.returncode != 0


def validate_scaled_object(manifest: Manifest) -> None:
    """Against KEDA's own definition; what that does not know it leaves out."""
    kept = ScaledObject.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert kept == manifest


def test_what_keda_does_not_know_is_noticed() -> None:
    scaled: Manifest = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "consumers"},
        "spec": {"scaleTargetRef": {"name": "consumers"}, "triggers": [{"type": "kafka", "metadata": {}}]},
    }
    validate_scaled_object(scaled)
    with pytest.raises(AssertionError):
        validate_scaled_object(merged(scaled, {"spec": {"maxReplicas": 3}}))
    with pytest.raises(ValueError, match="maxReplicaCount"):
        validate_scaled_object(merged(scaled, {"spec": {"maxReplicaCount": "many"}}))


@needs_helm
@pytest.mark.parametrize("keda", ["true", "false"])
@pytest.mark.parametrize("split", ["true", "false"])
def test_every_manifest_is_valid(keda: str, split: str) -> None:
    sets = [f"keda.enabled={keda}", f"services.audit.split={split}", "gateway.service.type=LoadBalancer"]
    options = [word for each in sets for word in ("--set", each)]
    made = render("--values", str(CHART / "ci" / "values.yaml"), *options)
    for manifest in made:
        if manifest["kind"] == "ScaledObject":
            validate_scaled_object(manifest)
        else:
            kubernetes_validate.validate(manifest, "1.34", strict=True)
    assert bool(of_kind(made, "ScaledObject")) == (keda == "true")


@needs_helm
def test_each_role_is_a_deployment_of_its_own_or_all_are_one(manifests: list[Manifest]) -> None:
    containers = {name: pod["containers"][0] for name, pod in pods(manifests).items() if name != "pm-gateway"}
    arguments = {name: container["args"] for name, container in containers.items()}
    assert arguments["pm-workspaces"] == ["workspaces", "run"]
    assert arguments["pm-workspaces-migrate"] == ["workspaces", "migrate", "--provision"]
    for service in set(SERVICES) - {"workspaces"}:
        assert arguments[f"pm-{service}-migrate"] == [service, "migrate"]
        for role in ("serve", "consume", "relay", "work"):
            assert arguments[f"pm-{service}-{role}"] == [service, role]


@needs_helm
def test_pods_are_restricted(manifests: list[Manifest]) -> None:
    """The restricted level of the Pod Security Standards, and a read-only root file system."""
    for name, pod in pods(manifests).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["limits"]["memory"], name
        kinds = {key for volume in pod["volumes"] for key in volume if key != "name"}
        assert kinds <= {"secret", "configMap", "emptyDir", "persistentVolumeClaim"}, name


@needs_helm
def test_deployments_are_probed_scaled_and_never_drained_at_once(manifests: list[Manifest]) -> None:
    budgets = of_kind(manifests, "PodDisruptionBudget")
    scaled = {
        scaler["spec"]["scaleTargetRef"]["name"]
        for scaler in of_kind(manifests, "HorizontalPodAutoscaler", "ScaledObject").values()
    }
    for name, deployment in of_kind(manifests, "Deployment").items():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert {"livenessProbe", "readinessProbe"} <= set(container), name
        if name.split("-")[1] in SERVICES:
            probe = container["readinessProbe"]["httpGet"]["path"]
            assert probe == "/health/serving", f"{name}: a stopped consumer must not keep its mend out"
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == labels, name
        assert budgets[name]["spec"]["selector"]["matchLabels"] == labels, name
        assert ("replicas" in deployment["spec"]) == (name not in scaled), name
    consumer = of_kind(manifests, "ScaledObject")["pm-audit-consume"]["spec"]
    groups = [trigger["metadata"]["consumerGroup"] for trigger in consumer["triggers"]]
    assert groups == ["penguinmails.audit", "penguinmails.audit-ingest"]
    campaigns = of_kind(manifests, "ScaledObject")["pm-campaigns-consume"]["spec"]
    assert (campaigns["minReplicaCount"], campaigns["maxReplicaCount"]) == (3, PARTITIONS)


@needs_helm
def test_secrets_come_by_reference_and_only_jobs_have_owners(manifests: list[Manifest]) -> None:
    assert not of_kind(manifests, "Secret")
    for name, pod in pods(manifests).items():
        secrets = [volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume]
        service = name.split("-")[1]
        owner = "-owner" if name.endswith("-migrate") else ""
        assert secrets == ([] if service == "gateway" else [f"penguinmails-{service}{owner}"]), name


@needs_helm
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_its_settings(service: str, manifests: list[Manifest], tmp_path: Path) -> None:
    pod = pods(manifests)["pm-workspaces" if service == "workspaces" else f"pm-{service}-serve"]
    given = {variable["name"] for variable in pod["containers"][0]["env"]}
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    given |= {name for name in ("SERVICE_HOST", "SERVICE_PORT") if f"{name}=" in image}
    local = set(compose.container_config(Home(tmp_path), 8123).service_environment(service))
    fields = service_of(service).settings.model_fields
    needed = {name.upper() for name, field in fields.items() if field.is_required()}
    assert needed - given <= set(compose.SECRETS)
    assert given <= {name.upper() for name in fields} | {"SECRETS_DIR"} | local


@needs_helm
def test_auth_does_not_wait_for_itself_to_be_ready(manifests: list[Manifest]) -> None:
    (container,) = pods(manifests)["pm-auth-serve"]["containers"]
    assert {"name": "JWKS_URL", "value": "http://127.0.0.1:8000/.well-known/jwks.json"} in container["env"]


@needs_helm
def test_nothing_is_reached_that_no_policy_names(manifests: list[Manifest]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    deny = policies["pm-default-deny"]["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert [port["port"] for port in deny["egress"][0]["ports"]] == [53, 53]
    for owner in of_kind(manifests, "Deployment", "Job").values():
        labels = owner["spec"]["template"]["metadata"]["labels"].items()
        assert deny["podSelector"]["matchLabels"].items() <= labels
        assert any(
            policy["spec"]["podSelector"]["matchLabels"].items() <= labels
            for name, policy in policies.items()
            if name != "pm-default-deny"
        )
    callers = {
        service: policies[f"pm-{service}"]["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
        for service in SERVICES
    }
    components = {name: labels.get("app.kubernetes.io/component") for name, labels in callers.items()}
    assert components == {**dict.fromkeys(SERVICES, "gateway"), "auth": None}


@needs_helm
def test_the_gateway_has_the_configuration_of_every_deployment(manifests: list[Manifest]) -> None:
    places = {
        "GATEWAY_ADDRESS": "0.0.0.0",
        "GATEWAY_PORT": "8080",
        "ADMIN_ADDRESS": "127.0.0.1",
        "ADMIN_PORT": "9901",
        "TOKEN_ISSUER": "https://api.mail.example",
        "TOKEN_AUDIENCE": "penguinmails",
        "PLATFORM_AUDIENCE": "penguinmails-platform",
        "TRUSTED_PROXIES": "0",
        "TRACE_SAMPLING": "250000",
        "METRIC_INTERVAL": "10",
        "COLLECTOR_HOST": "otel-collector.observability.svc",
        "COLLECTOR_PORT": "4318",
        **{f"{service.upper()}_HOST": f"pm-{service}" for service in SERVICES},
        **{f"{service.upper()}_PORT": "8000" for service in SERVICES},
    }
    held = of_kind(manifests, "ConfigMap")["pm-gateway"]["data"]["envoy.yaml"]
    assert yaml.safe_load(held) == yaml.safe_load(gateway.render(places))
