"""What Prometheus is told: the database's numbers, whatever became of the processes that made them."""

import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.test_status import keep, refused
from tests.conftest import read_toml, rows, sync
from zoning_assets.cli import metrics
from zoning_assets.errors import StoreError
from zoning_assets.model import PARCELS
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.storage.postgis.records import hold_records

Samples = dict[str, float]


def samples(text: str) -> Samples:
    """Each sample as Prometheus writes it, labels in order."""
    found = [each for family in text_string_to_metric_families(text) for each in family.samples]
    return {f"{s.name}{{{','.join(f'{k}={v}' for k, v in sorted(s.labels.items()))}}}": s.value for s in found}


def scraped(url: str) -> Samples:
    """Over HTTP, as Prometheus does it."""
    with urllib.request.urlopen(url, timeout=500) as answer:  # noqa: S310 - loopback
        assert answer.headers["Content-Type"].startswith("text/plain")
        return samples(answer.read().decode())


def test_the_numbers_are_the_databases(pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "toml"))
    with serving(200) as portal:
        sync(pipeline, read_toml(tmp_path / "toml", county_toml(portal), ID))
    keep(pipeline.database, **{"gis.example.org": refused})
    hold_records.pause(pipeline.database, jurisdiction=None, host="gis.example.org", reason="r", actor="a", until=None)
    found = scraped(metrics.serve(pipeline.database, _free()))
    ((parcels, batches, added),) = rows(
        pipeline.database,
        "SELECT (SELECT count(*) FROM zoning.parcel), count(*), sum((counts->>'added')::int) FROM zoning.batch",
    )
    assert parcels > 100
    assert found["zoning_up{}"] == 1
    assert found[f"zoning_parcels{{jurisdiction={ID}}}"] == parcels
    assert found[f"zoning_batches_total{{feed={PARCELS},jurisdiction={ID}}}"] == batches
    assert found[f"zoning_rows_total{{feed={PARCELS},jurisdiction={ID},what=added}}"] == added
    assert found["zoning_paused{what=gis.example.org}"] == 1
    assert found["zoning_queue_messages{queue=amendments,state=ready}"] == 0
    assert found["zoning_host_asked_total{host=gis.example.org}"] == 1
    assert found["zoning_host_refused_total{host=gis.example.org}"] == 1


def test_a_database_that_is_gone_is_a_number_too() -> None:
    assert scraped(metrics.serve("postgresql://nobody@127.0.0.1:9/none", _free())) == {"zoning_up{}": 0}


def test_a_port_that_is_taken_is_one_line(database: str) -> None:
    taken = _free()
    metrics.serve(database, taken)
    with pytest.raises(StoreError, match="give another with --port"):
        metrics.serve(database, taken)


def _free() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
