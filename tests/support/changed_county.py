"""The simulated county after one change: a database and a store that many tests read."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zoning_assets import jurisdictions
from zoning_assets.model import PARCELS, ZONING, Amendment, Jurisdiction, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records import amendment_records

LOTS = 400
ORDINANCE = "2023-502"


@dataclass(frozen=True)
class ChangedCounty:
    """What was published, and what really changed. `file`: its jurisdiction file; its portal has ended."""

    name: str  # of the database
    url: str
    store: Path
    file: Path
    jurisdiction: Jurisdiction
    truth: County

    @property
    def objects(self) -> Objects:
        """Its store."""
        return Objects(str(self.store))


@contextmanager
def changed_county(
    folder: Path, pool: Pool, new_database: Callable[[], AbstractContextManager[tuple[str, str]]]
) -> Iterator[ChangedCounty]:
    """Publish the county in a new database, with an ordinance that explains its first rezoning."""
    with serving(LOTS) as portal, new_database() as (name, url):
        file = folder / f"{ID}.toml"
        file.write_text(county_toml(portal))
        described = jurisdictions.read(file, FEED_TYPES)
        pipeline = Pipeline(Objects(str(folder / "store")), url, folder / "scratch", pool)
        for number in (1, 2):
            switch_release(portal, number)
            _publish(pipeline, described)
            change_detection.update_parcel_zoning(url, described)
            change_detection.detect_changes(url, described)
        truth = County.build(LOTS).after_changes()
        amendment_records.store(url, ID, [_ordinance(truth)])
        yield ChangedCounty(name, url, folder / "store", file, described, truth)


def _publish(pipeline: Pipeline, described: Jurisdiction) -> None:
    tiles = sorted(asyncio.run(pipeline.harvest(described)).tiles)
    for feed, places in ((PARCELS, [Place(ID, tile) for tile in tiles]), (ZONING, [Place(ID)])):
        outcomes = []
        asyncio.run(pipeline.run({ID: described}, places, feed, STAGES, outcomes.append))
        assert all(each.error is None for each in outcomes)


def _ordinance(truth: County) -> Amendment:
    assert truth.truth is not None
    parcel, (old, new) = next(iter(truth.truth.rezoned.items()))
    return Amendment(
        ID, ordinance_numbers=(ORDINANCE,), status="effective", dates={"effective": "2023-12-15"},
        parcel_ids=(parcel,), old_codes=(old,), new_codes=(new,), source="https://example.org/2023-502.pdf",
    )  # fmt: skip
