"""The dagster.yaml of DAGSTER_HOME: that of the package, with the limits and the launcher of the settings."""

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from zoning_assets.errors import SettingInvalid
from zoning_assets.storage import run_broker

#: Variable -> the line of dagster.yaml whose number it replaces.
_LIMITS = {"ZONING_MAX_RUNS": "max_concurrent_runs", "ZONING_MAX_RUNS_PER_HOST": "limit"}
_MOST = 10_000
#: A run may wait in the broker until a worker is free. The variable keeps the broker's password out of the file.
_LAUNCHER = f"""\
run_launcher:
  module: zoning_assets.defs.celery_launcher
  class: CeleryLauncher
  config:
    broker: {{env: {run_broker.SETTING}}}
"""
_MONITORING = "run_monitoring:\n  enabled: true\n"
_START_WITHIN = "  start_timeout_seconds: 600\n"


def dagster_yaml(environ: Mapping[str, str]) -> str:
    """Return the text of dagster.yaml for an environment.

    Raises:
        SettingInvalid: ZONING_RUNS_ON, ZONING_MAX_RUNS or ZONING_MAX_RUNS_PER_HOST is invalid.
    """
    text = _packaged()
    for name, key in _LIMITS.items():
        if value := environ.get(name):
            text = re.sub(rf"(?m)^(\s+{key}): \d+$", rf"\1: {_number(name, value)}", text)
    if run_broker.find(environ):
        text = text.replace(_MONITORING, _MONITORING + _START_WITHIN) + _LAUNCHER
    return text


def _number(name: str, value: str) -> int:
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= len(str(_MOST)) else 0
    if not 1 <= number <= _MOST:
        raise SettingInvalid(f"{value[:20]!r} is not a number of runs", where=name, do=f"set it to 1 to {_MOST}")
    return number


def _packaged() -> str:
    """Read the packaged dagster.yaml, or that of the clone."""
    packaged = files("zoning_assets") / "dagster.yaml"
    return (packaged if packaged.is_file() else Path(__file__).parents[2] / "dagster.yaml").read_text()
