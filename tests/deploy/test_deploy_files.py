"""The files of deploy/: they name what exists, hold no secret, and open no port to others."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.test_documents import command_of
from tests.deploy.deploy_files import (
    CLONE,
    DEPLOY,
    FILES,
    REFERENCE,
    UNITS,
    chart_values,
    compose,
    unit,
    zoning_commands,
)
from zoning_assets.cli.reference.settings_page import VARIABLES

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
#: Variables that only the compose file itself reads; .env.example explains them.
OF_COMPOSE = {
    "ZONING_DATABASE_PASSWORD",
    "ZONING_DATABASE_PORT",
    "ZONING_IMAGE",
    "ZONING_MAP_PORT",
    "ZONING_REDIS_PASSWORD",
    "ZONING_STORE_PASSWORD",
    "ZONING_STORE_USER",
    "ZONING_WEBSERVER_PORT",
}


def test_every_command_can_be_parsed() -> None:
    found = list(zoning_commands())
    assert {words[0] for _, words in found} >= {"up", "serve", "verify", "worker"}
    for name, words in found:
        command, rest = command_of(words)
        command.make_context(f"{name}: {words[0]}", rest)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\b(?:ZONING|DAGSTER_HOME)\w*", path.read_text(encoding="utf-8")))
    named = {name for name in named if name.startswith("ZONING_") or name == "DAGSTER_HOME"}
    assert named <= {*VARIABLES, *OF_COMPOSE}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_has_a_secret(path: Path) -> None:
    """A password, token or key is a reference, a name of a secret, or empty."""
    text = REFERENCE.sub("$", path.read_text(encoding="utf-8"))
    for found in re.finditer(r"(?i)\b\w*(?:password|tokens|secret_access_key)[:=][ \t]*(\S*)", text):
        value = found[1].strip("\"'")
        assert not value or value.startswith(("$", "/", "zoning-", "...")), found[0]
    assert not re.search(r"://[^\s/:@]+:(?!\$)[^\s/@]+@", text)


def test_secrets_are_required_and_explained() -> None:
    """Compose stops if a secret is missing; .env.example has each variable."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    required = {name for name, kind, _ in REFERENCE.findall(text) if kind == "?"}
    assert {name for name in required if "PASSWORD" in name or "TOKENS" in name} == {
        "ZONING_DATABASE_PASSWORD",
        "ZONING_REDIS_PASSWORD",
        "ZONING_STORE_PASSWORD",
        "ZONING_API_TOKENS",
    }
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == required


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_limited_checked_and_local(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] in ("unless-stopped", "on-failure")
    assert service["deploy"]["resources"]["limits"]["memory"]
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    image = service["image"].rpartition(":-")[2].rstrip("}")
    assert re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*", image)
    ends = service["restart"] == "on-failure"
    is_ours = "ZONING_IMAGE" in service["image"]
    assert ends or "healthcheck" in service or (is_ours and name == "serve"), "no health check"
    assert not is_ours or (service["read_only"] and service["cap_drop"] == ["ALL"])


def test_configs_of_read_only_services_are_files() -> None:
    """Compose refuses others: "`file` is the sole supported option" (docker/compose pull request 12531)."""
    configs = compose()["configs"]
    used = {
        each["source"]
        for service in SERVICES.values()
        if service.get("read_only")
        for each in service.get("configs", [])
    }
    assert used
    for name in used:
        assert (DEPLOY / configs[name]["file"]).is_file(), name


def test_no_more_runs_are_started_than_workers_execute() -> None:
    """A run that no worker takes within ten minutes fails."""
    workers = SERVICES["worker"]["deploy"]["replicas"]
    assert SERVICES["daemon"]["environment"]["ZONING_MAX_RUNS"] == f"${{ZONING_MAX_RUNS:-{workers}}}"


def test_one_step_creates_the_tables_of_dagster() -> None:
    """Programs that start on an empty storage at the same time leave two version records (dagster issue 27390)."""
    jobs = [each for each in chart_values()["extraManifests"] if each["kind"] == "Job"]
    (hook,) = [container for job in jobs for container in job["spec"]["template"]["spec"]["containers"]]
    for command in (SERVICES["migrate"]["command"], hook["command"]):
        assert command[-1].split(" > ")[0] == "zoning db up"
        assert "&& dagster instance migrate" in command[-1]


def test_only_published_services_and_those_that_ask_portals_leave_the_inner_network() -> None:
    assert compose()["networks"]["inside"]["internal"]
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == {"code", "worker", "webserver", "serve"}


def test_both_compose_files_start_the_same_database() -> None:
    alone = yaml.safe_load((DEPLOY / "database.yaml").read_text(encoding="utf-8"))["services"]["database"]
    assert SERVICES["database"]["image"] == alone["image"]
    assert alone["command"] in SERVICES["database"]["command"]


def test_the_image_of_the_chart_and_of_compose_is_this_version() -> None:
    version = re.search(r'^version = "(.+)"', (CLONE / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version
    texts = [
        (DEPLOY / name).read_text(encoding="utf-8") for name in ("compose.yaml", ".env.example", "helm/values.yaml")
    ]
    found = {tag for text in texts for tag in re.findall(r"zoning-assets(?:, tag)?: ?(\d[\w.]*)", text)}
    assert found == {version[1]}


def test_the_dockerfile_runs_as_a_fixed_user_and_compiles_nothing() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    final = text[text.rindex("\nFROM") :]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["/usr/bin/tini", "--"\]$', final, re.MULTILINE)
    assert not re.search(r"\b(gcc|build-essential|make|-dev)\b", text)
    for line in re.findall(r"pip (?:install|download) .*?(?=\n\S|&&|\Z)", text, re.DOTALL):
        assert "--require-hashes --only-binary :all:" in line or "--no-index" in line


def test_what_is_copied_into_the_image_is_not_ignored() -> None:
    ignored = (CLONE / ".dockerignore").read_text(encoding="utf-8").splitlines()
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((CLONE / name).exists() for name in copied)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_are_complete(path: Path) -> None:
    """A timer has its service. A service starts a program and is not enabled if a timer starts it."""
    found = unit(path)
    if path.suffix == ".timer":
        assert path.with_suffix(".service").exists()
        assert found["Install"]["WantedBy"] == ["timers.target"]
        return
    assert found["Service"]["ExecStart"]
    assert ("Install" in found) == (found["Service"]["Type"] == ["exec"])


def test_every_unit_has_the_common_settings() -> None:
    """systemd applies `zoning-.service.d` to units whose name begins with `zoning-`."""
    common = unit(DEPLOY / "systemd/zoning-.service.d/10-common.conf")["Service"]
    assert common["User"] == ["zoning"]
    assert common["NoNewPrivileges"] == ["yes"]
    assert common["ProtectSystem"] == ["strict"]
    assert common["EnvironmentFile"] == ["/etc/zoning/zoning.env"]
    assert all(path.name.startswith("zoning-") for path in UNITS)


def test_the_chart_has_the_limits_of_dagster_yaml() -> None:
    """Queue, limits and retries are the same as without Kubernetes, and nothing is set twice."""
    ours = yaml.safe_load((CLONE / "dagster.yaml").read_text(encoding="utf-8"))
    values = chart_values()
    added = values["additionalInstanceConfig"]
    assert added == {name: ours[name] for name in ("concurrency", "run_coordinator", "run_retries", "nux")}
    daemon = values["dagsterDaemon"]
    assert not daemon["runCoordinator"]["enabled"]
    assert not daemon["runRetries"]["enabled"]
    assert daemon["runMonitoring"]["pollIntervalSeconds"] == ours["run_monitoring"]["poll_interval_seconds"]
    kept = ours["retention"]["sensor"]["purge_after_days"]
    assert values["retention"]["sensor"]["purgeAfterDays"] == {**kept, "started": -1}
    assert values["telemetry"] == ours["telemetry"]
