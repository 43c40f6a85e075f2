"""The dagster.yaml that `zoning` writes, and the settings of runs."""

import importlib.util
from importlib.machinery import ModuleSpec

import dagster as dg
import pytest
import yaml

from zoning_assets.cli.dagster_config import dagster_yaml
from zoning_assets.defs.celery_launcher import CeleryLauncher
from zoning_assets.errors import SettingInvalid
from zoning_assets.storage import run_broker

_URL = "redis://:5ecret@127.0.0.1:1/0"


def test_without_settings_it_is_the_packaged_file() -> None:
    found = yaml.safe_load(dagster_yaml({}))
    assert "run_launcher" not in found
    assert found["concurrency"]["runs"]["max_concurrent_runs"] == 4
    (limit,) = found["concurrency"]["runs"]["tag_concurrency_limits"]
    assert limit["limit"] == 1


def test_the_limits_and_the_launcher_of_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """The password of the broker stays in the environment, also in what a run is sent with."""
    environ = {"ZONING_RUNS_ON": _URL, "ZONING_MAX_RUNS": "12", "ZONING_MAX_RUNS_PER_HOST": "3"}
    text = dagster_yaml(environ)
    assert "5ecret" not in text
    found = yaml.safe_load(text)
    assert found["concurrency"]["runs"]["max_concurrent_runs"] == 12
    assert found["concurrency"]["runs"]["tag_concurrency_limits"][0]["limit"] == 3
    assert found["run_monitoring"]["start_timeout_seconds"] == 600
    monkeypatch.setenv("ZONING_RUNS_ON", _URL)
    overrides = {name: found[name] for name in ("run_launcher", "concurrency", "run_monitoring", "run_coordinator")}
    with dg.instance_for_test(overrides=overrides, temp_dir=str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, CeleryLauncher)
        assert instance.run_launcher.broker == _URL
        assert "5ecret" not in str(instance.get_ref()) + instance.info_str()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("ZONING_RUNS_ON", "http://127.0.0.1", "not the address of a broker"),
        ("ZONING_RUNS_ON", "redis:///0", "not the address of a broker"),
        ("ZONING_RUNS_ON", "amqp://zoning:5432/5ecret@127.0.0.1/", "not the address of a broker"),
        ("ZONING_RUNS_ON", "redis://127.0.0.1:99999", "not the address of a broker"),
        ("ZONING_RUNS_ON", "redis://127.0.0.1/five", "number of a database"),
        ("ZONING_MAX_RUNS", "0", "not a number of runs"),
        ("ZONING_MAX_RUNS", "four", "not a number of runs"),
        ("ZONING_MAX_RUNS_PER_HOST", "-1", "not a number of runs"),
        ("ZONING_MAX_RUNS_PER_HOST", "9" * 5000, "not a number of runs"),
    ],
)
def test_an_invalid_setting_is_one_line(name: str, value: str, what: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        dagster_yaml({name: value})
    assert what in str(caught.value)
    assert name in str(caught.value)
    assert len(str(caught.value)) < 300
    assert caught.value.exit_status == 2


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ModuleSpec | None:
        return None if name == "dagster_celery" else importlib.util.find_spec(name)

    monkeypatch.setattr(run_broker, "find_spec", missing)
    with pytest.raises(SettingInvalid, match=r"pip install 'zoning-assets\[celery\]'"):
        run_broker.find({"ZONING_RUNS_ON": _URL})


def test_an_address_is_shown_without_its_password() -> None:
    assert run_broker.address(_URL) == "redis://127.0.0.1:1/0"
    assert run_broker.address("amqp://zoning:5ecret@[::1]:5672/vhost") == "amqp://[::1]:5672/vhost"
