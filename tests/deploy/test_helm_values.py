"""deploy/helm/values.yaml: its keys are those of Dagster's chart, and dagster-k8s makes a valid job from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster_k8s import K8sRunLauncher, construct_dagster_k8s_job
from kubernetes.client import ApiClient

from tests.deploy.deploy_files import chart_values

POD = "env envConfigMaps envSecrets labels volumes volumeMounts annotations nodeSelector affinity tolerations"
POD += " podSecurityContext securityContext resources readinessProbe livenessProbe startupProbe"
IMAGE: Mapping[str, Any] = dict.fromkeys(("repository", "tag", "pullPolicy"))
#: The keys that our file may use, read from helm/dagster/values.yaml of the repository dagster-io/dagster (and its
#: schema/schema/charts). The chart itself, which has values.schema.json, comes from a registry that tests do not reach:
#: `helm lint` and `helm template` check the file where it can be fetched. None: any value below.
KEYS: Mapping[str, Any] = {
    "global": dict.fromkeys(("postgresqlSecretName", "dagsterHome", "serviceAccountName")),
    "generatePostgresqlPasswordSecret": None,
    "postgresql": {
        **dict.fromkeys(("enabled", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase", "postgresqlParams")),
        "service": {"port": None},
    },
    "rabbitmq": {"enabled": None},
    "redis": {"enabled": None},
    "flower": {"enabled": None},
    "telemetry": {"enabled": None},
    "serviceAccount": dict.fromkeys(("create", "name", "annotations")),
    "dagsterWebserver": {
        **dict.fromkeys(POD.split()),
        "replicaCount": None,
        "image": IMAGE,
        "service": dict.fromkeys(("type", "port", "annotations")),
    },
    "dagster-user-deployments": {
        "enabled": None,
        "enableSubchart": None,
        "deployments": [
            {
                **dict.fromkeys(POD.split()),
                **dict.fromkeys(("name", "port", "codeServerArgs")),
                "image": IMAGE,
                "includeConfigInLaunchedRuns": {"enabled": None},
            }
        ],
    },
    "runLauncher": {
        "type": None,
        "config": {
            "k8sRunLauncher": {
                **dict.fromkeys(("imagePullPolicy", "loadInclusterConfig", "failPodOnRunFailure", "securityContext")),
                **dict.fromkeys(("envSecrets", "volumes", "volumeMounts", "resources")),
                "runK8sConfig": dict.fromkeys(
                    ("containerConfig", "podTemplateSpecMetadata", "podSpecConfig", "jobSpecConfig", "jobMetadata")
                ),
            }
        },
    },
    "dagsterDaemon": {
        **dict.fromkeys(POD.split()),
        **dict.fromkeys(("enabled", "heartbeatTolerance")),
        "image": IMAGE,
        "runCoordinator": {"enabled": None},
        "runRetries": {"enabled": None},
        "runMonitoring": dict.fromkeys(
            ("enabled", "startTimeoutSeconds", "pollIntervalSeconds", "maxResumeRunAttempts")
        ),
        "sensors": dict.fromkeys(("useThreads", "numWorkers")),
    },
    "retention": {"enabled": None, "sensor": {"purgeAfterDays": None}},
    "additionalInstanceConfig": None,
    "extraManifests": None,
}
#: How templates/helpers/instance/_run-launcher.tpl names the chart's values in dagster.yaml.
NAMES = {
    "imagePullPolicy": "image_pull_policy",
    "volumes": "volumes",
    "volumeMounts": "volume_mounts",
    "resources": "resources",
    "securityContext": "security_context",
    "failPodOnRunFailure": "fail_pod_on_run_failure",
}
#: Of a cluster that is never asked.
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: none, user: {}}]
"""
K8S_NAMES = {"podSpecConfig": "pod_spec_config", "jobSpecConfig": "job_spec_config"}


def unknown(values: Any, known: Any, where: str = "") -> list[str]:
    """The paths of keys that the chart does not have."""
    if known is None:
        return []
    if isinstance(known, Sequence):
        return [path for each in values for path in unknown(each, known[0], f"{where}[]")]
    missing = [f"{where}.{key}" for key in values if key not in known]
    return missing + [
        path for key in values if key in known for path in unknown(values[key], known[key], f"{where}.{key}")
    ]


def launcher_config() -> dict[str, Any]:
    """What the chart writes into dagster.yaml for the launcher."""
    values = chart_values()
    ours = values["runLauncher"]["config"]["k8sRunLauncher"]
    config = {name: ours[key] for key, name in NAMES.items()}
    return config | {
        "load_incluster_config": ours["loadInclusterConfig"],
        "job_namespace": "zoning",
        "service_account_name": "zoning-dagster",
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "zoning-dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "env_secrets": [each["name"] for each in ours["envSecrets"]],
        "run_k8s_config": {K8S_NAMES[key]: value for key, value in ours["runK8sConfig"].items()},
    }


def test_every_key_is_one_of_the_chart() -> None:
    assert unknown(chart_values(), KEYS) == []
    assert unknown({"dagsterDaemon": {"runQueue": 1}}, KEYS) == [".dagsterDaemon.runQueue"]


@pytest.mark.slow
def test_the_instance_of_the_chart_is_accepted_by_dagster(tmp_path: Path) -> None:
    """Dagster checks dagster.yaml with the launcher and our additions when it opens an instance."""
    text = {
        "run_launcher": {"module": "dagster_k8s", "class": "K8sRunLauncher", "config": launcher_config()},
        **chart_values()["additionalInstanceConfig"],
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(text))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_settings("concurrency")["runs"]["max_concurrent_runs"] == 4
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({**text, "run_retries": {"enabled": "perhaps"}}))
    with pytest.raises(dg.DagsterInvalidConfigError), dg.DagsterInstance.from_config(str(tmp_path)):
        pass


def test_the_launcher_accepts_its_config() -> None:
    known = K8sRunLauncher.config_type()
    assert set(launcher_config()) <= set(known)


def test_the_job_of_a_run_is_valid_and_restricted(tmp_path: Path) -> None:
    """The job that dagster-k8s makes for a run of ours: not root, read-only, secrets by name, no second try."""
    body = job_of_a_run(tmp_path)
    pod = body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["envFrom"] == [{"secretRef": {"name": "zoning-settings"}}]
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
    assert container["resources"]["limits"] == {"memory": "4Gi"}
    assert (body["spec"]["backoffLimit"], body["spec"]["ttlSecondsAfterFinished"]) == (0, 3600)
    assert not [each for each in container["env"] if "PASSWORD" in each["name"] and "value" in each]


def job_of_a_run(tmp_path: Path) -> dict[str, Any]:
    """The document that dagster-k8s would send to Kubernetes. Its models refuse unknown and missing fields."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    config = {**launcher_config(), "load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    launcher = K8sRunLauncher(**config)
    context = launcher.get_container_context_for_run(dg.DagsterRun("publish_parcels"))
    image = chart_values()["dagsterDaemon"]["image"]
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(f"{image['repository']}:{image['tag']}", launcher),
        ["dagster", "api", "execute_run"],
        "dagster-run-0ef66381-f6ad-4a5b-9df0-1c4d2e8a7b11",
        user_defined_k8s_config=context.run_k8s_config,
        labels={"dagster/job": "publish_parcels"},
    )
    return ApiClient().sanitize_for_serialization(job)
