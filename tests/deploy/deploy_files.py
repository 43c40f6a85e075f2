"""The files of deploy/, read by their formats."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

CLONE = Path(__file__).parents[2]
DEPLOY = CLONE / "deploy"
UNITS = sorted([*DEPLOY.glob("systemd/*.service"), *DEPLOY.glob("systemd/*.timer")])
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
#: `${NAME}`, `${NAME:-default}` and `${NAME:?message}` of compose.
REFERENCE = re.compile(r"\$\{(\w+)(?::?([-?])([^}]*))?\}")


def compose() -> dict[str, Any]:
    """deploy/compose.yaml with YAML's merges applied, and without variables replaced."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def chart_values() -> dict[str, Any]:
    """deploy/helm/values.yaml."""
    return yaml.safe_load((DEPLOY / "helm/values.yaml").read_text(encoding="utf-8"))


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """A unit file: section, key, values. Keys may be repeated."""

    class Repeated(dict[str, Any]):
        def __setitem__(self, key: str, value: Any) -> None:
            super().__setitem__(key, self[key] + value if isinstance(value, list) and key in self else value)

    parser = configparser.RawConfigParser(dict_type=Repeated, strict=False, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text(encoding="utf-8"))
    return {name: {key: str(value).split("\n") for key, value in parser.items(name)} for name in parser.sections()}


def zoning_commands() -> Iterator[tuple[str, list[str]]]:
    """Each command of the program `zoning` in deploy/: the file, and the words after `zoning`."""
    for path in UNITS:
        for line in unit(path).get("Service", {}).get("ExecStart", []):
            if line.startswith("/opt/zoning/zoning "):
                yield path.name, line.split()[1:]
    for text in _container_commands():
        for found in re.findall(r"\bzoning ([a-z][^>;&|]*)", text):
            yield "containers", found.split()


def _container_commands() -> Iterator[str]:
    for service in compose()["services"].values():
        yield " ".join(service.get("command", [])) if isinstance(service.get("command"), list) else ""
    for manifest in chart_values()["extraManifests"]:
        for container in manifest["spec"].get("template", {}).get("spec", {}).get("containers", []):
            yield " ".join([*container.get("command", []), *container.get("args", [])])
    docker = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for words in re.findall(r"^CMD \[(.*)\]$", docker, re.MULTILINE):
        yield " ".join(re.findall(r'"([^"]*)"', words))
