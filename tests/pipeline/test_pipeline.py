"""What stops a place from being published."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from aiohttp import web

from tests.conftest import read_toml, sync
from zoning_assets.errors import CrsRefused, Defect, TooManyRejections
from zoning_assets.model import Counts, Place
from zoning_assets.pipeline.corrections import check_rejections
from zoning_assets.pipeline.pipeline import PUBLISHED, STAGES, Pipeline
from zoning_assets.simulation.county.county import ID, county_toml
from zoning_assets.simulation.portal.portal import CountyReleases, county_portal
from zoning_assets.simulation.portal.portal_process import serving, switch_release
from zoning_assets.transform.geometry.validity import NO_GEOMETRY
from zoning_assets.transform.validate import NULL_KEY

TILE, WHOLE = Place("us-xx-a", "872a33c10ffffff"), Place("us-xx-a")


def held(*reasons: str) -> pd.DataFrame:
    return pd.DataFrame({"reason": pd.Series(reasons, dtype=object), "raw": "{}"})


def checked(place: Place, fetched: int, known: int = 0, **reasons: int) -> None:
    rejected = [reason for reason, n in reasons.items() for _ in range(n)]
    counts = Counts(fetched=fetched, accepted=fetched - len(rejected), rejected=len(rejected))
    check_rejections(place, counts, held(*rejected), lambda _: known)


def test_rows_without_a_shape_do_not_stop_the_tile_that_keeps_them() -> None:
    """All shapeless rows of a county are kept at one tile, where they may outnumber its own (200 of 285, measured)."""
    checked(TILE, 285, **{NO_GEOMETRY: 200})
    with pytest.raises(TooManyRejections, match="50 of 85"):
        checked(TILE, 285, **{NO_GEOMETRY: 200, NULL_KEY: 50})


def test_rows_that_a_person_knows_do_not_count() -> None:
    """They leave both sides: what is left is judged as if they were not there."""
    checked(TILE, 100, known=60, **{NULL_KEY: 80})
    with pytest.raises(TooManyRejections, match="81 of 100"):
        checked(TILE, 100, known=60, **{NULL_KEY: 81})


def test_a_map_that_lost_its_shapes_is_not_published() -> None:
    """A place without tiles has nobody else's rows: there each rejection counts."""
    with pytest.raises(TooManyRejections):
        checked(WHOLE, 285, **{NO_GEOMETRY: 200})


def test_rows_that_do_not_add_up_are_a_defect() -> None:
    """Promise 4, checked for each place before it is published."""
    with pytest.raises(Defect, match="does not add up"):
        check_rejections(TILE, Counts(fetched=3, accepted=1, rejected=1), held(NULL_KEY), lambda _: 0)


def test_what_was_validated_is_published_by_itself(pipeline: Pipeline, tmp_path: Path) -> None:
    """As when a person materializes `parcels` alone; also of a later release, which is judged as any."""
    with serving(200) as portal:
        jurisdiction = read_toml(tmp_path / "toml", county_toml(portal), ID)
        for release, changes in ((1, "added"), (2, "changed")):
            switch_release(portal, release)
            before = sync(pipeline, jurisdiction, stages=STAGES[:3])
            assert not [outcome.error for outcome in before if outcome.error]
            after = sync(pipeline, jurisdiction, stages=[PUBLISHED])
            assert not [outcome.error for outcome in after if outcome.error]
            assert sum(each.counts.accepted for each in after) == sum(each.counts.accepted for each in before) > 100
            assert sum(getattr(each.counts, changes) for each in after) > 0


def test_a_page_that_cannot_be_used_ends_the_harvest_at_once(pipeline: Pipeline, tmp_path: Path) -> None:
    """Each page lies in another state: the first says so, and the portal need not send the others."""
    asked = Counter[str]()

    async def count(request: web.Request) -> None:
        asked["pages"] += request.query.get("outFields") == "*"

    async def harvested() -> None:
        async with county_portal(CountyReleases(10_000, page_rows=200), fault=count).running() as address:
            county = read_toml(tmp_path / "toml", county_toml(address), ID)
            elsewhere = replace(county, bounds=(-105.1, 39.6, -104.8, 39.9))
            with pytest.raises(CrsRefused, match="do not lie in the jurisdiction's bounds"):
                await pipeline.harvest(elsewhere)

    asyncio.run(harvested())
    assert 0 < asked["pages"] < 50
    assert not pipeline.objects.names(f"normalized/{ID}")
