"""Everything held against everything: sound where nothing was touched, and each harm is named."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import going_on, read_toml, rows, sync
from tests.support.databases import copied
from zoning_assets.model import ZONING
from zoning_assets.operations import history_rollback
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.storage.object_store.object_store import Objects


@pytest.fixture(scope="module")
def published(
    server: str, template: str, pool: Pool, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """Harvested, changed, and harvested again, once: database, store."""
    folder = tmp_path_factory.mktemp("published")
    with serving(400) as portal, copied(server, template) as (name, url):
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        described = read_toml(folder / "toml", county_toml(portal), ID)
        for number in (1, 2):
            switch_release(portal, number)
            sync(pipeline, described)
            sync(pipeline, described, ZONING)
        yield name, folder / "store"


@pytest.fixture
def county(server: str, published: tuple[str, Path], tmp_path: Path, pool: Pool) -> Iterator[Pipeline]:
    """A copy of it."""
    with going_on(server, *published, tmp_path, pool) as pipeline:
        yield pipeline


def test_what_nobody_touched_is_sound(county: Pipeline, tmp_path: Path) -> None:
    found = verify(county.database, county.objects)
    assert found.faults == ()
    parcels = County.build(400).after_changes().parcels_by_policy()["dissolve"]
    assert found.rows == parcels + rows(county.database, "SELECT count(*) FROM zoning.district")[0][0]
    assert found.pages >= found.places > 1


def _page(pipeline: Pipeline, folder: Path) -> None:
    page = max((folder / "store" / "raw").rglob("*.zst"), key=lambda path: path.stat().st_mtime)
    page.write_bytes(page.read_bytes()[:-4])


def _row(query: str) -> Callable[[Pipeline, Path], None]:
    return lambda pipeline, _: rows(pipeline.database, query) and None


FIRST = "(SELECT min(parcel_id) FROM zoning.parcel)"


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_page, "cannot be read"),
        (_row(f"DELETE FROM zoning.parcel WHERE parcel_id = {FIRST} RETURNING 1"), "1 rows are missing"),
        (_row(f"UPDATE zoning.parcel SET content_hash = 'x' WHERE parcel_id = {FIRST} RETURNING 1"), "different from"),
        (_row("UPDATE zoning.district SET district_id = 'x' WHERE district_id = (SELECT min(district_id) FROM "
              "zoning.district) RETURNING 1"), "not in the harvest: x"),
    ],
)  # fmt: skip
def test_each_harm_is_named(county: Pipeline, tmp_path: Path, harm: Callable[..., None], says: str) -> None:
    harm(county, tmp_path)
    found = verify(county.database, county.objects)
    assert found.faults
    assert any(says in fault for fault in found.faults), found.faults


def test_a_rollback_is_no_fault(county: Pipeline, tmp_path: Path) -> None:
    """What was undone is not what the newest harvest says, and should not be."""
    described = read_toml(tmp_path / "toml", county_toml("http://127.0.0.1:1"), ID)
    change_detection.update_parcel_zoning(county.database, described)
    ((moment,),) = rows(county.database, "SELECT max(committed) FROM zoning.batch WHERE id <= 2")
    history_rollback.roll_back(
        county.database, county.objects, described, to=moment, actor="ann", reason="wrong", dry_run=False
    )
    assert verify(county.database, county.objects).faults == ()
