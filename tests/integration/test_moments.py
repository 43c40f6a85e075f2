"""Back to any of 20 moments of a county's life, in any order: just the tables of that moment, and the life goes on."""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from tests.conftest import rows, sync
from tests.operations.test_history_rollback import go_on, now, undo
from tests.support import town
from zoning_assets.errors import AcceptanceNeeded
from zoning_assets.model import PARCELS, ZONING, Amendment, Outcome
from zoning_assets.operations.integrity_check import verify
from zoning_assets.pipeline import change_detection, corrections
from zoning_assets.pipeline.corrections import FixRequest
from zoning_assets.pipeline.pipeline import NORMALIZED, PUBLISHED, VALIDATED, Pipeline
from zoning_assets.simulation.county.county import ID, County
from zoning_assets.simulation.county.release_plan import Plan
from zoning_assets.storage.postgis.records import amendment_records, audit_records, correction_records, release_profiles

LOTS, RELEASES, MOMENTS = 1200, 7, 20
REPLAY = (NORMALIZED, VALIDATED, PUBLISHED)

#: What a reader sees of each table, but for numbers and times of ours.
SEEN = {
    "parcel": "parcel_id, zoning_code, zoning_code_local, land_use, address, attributes::text, area_m2, geom::text,"
    " content_hash, first_seen",
    "district": "district_id, code, code_local, zone_type, effective, attributes::text, area_m2, geom::text,"
    " content_hash, first_seen",
    "parcel_zoning": "parcel_id, facet, code, area_m2, fraction, rank, listed, effective",
    "change": "id, kind, state, facet, parcel_ids, old, new, area_m2, share, confidence, effective, geom::text,"
    " evidence - 'batches'",
}


def hashes(url: str) -> dict[str, str]:
    """A hash of each table; retracted changes are none."""
    query = """
        SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))
        FROM (SELECT {} FROM zoning.{} WHERE to_jsonb({}) ->> 'state' IS DISTINCT FROM 'retracted') t
    """
    return {name: rows(url, query.format(columns, name, name))[0][0] for name, columns in SEEN.items()}


@dataclass
class Life:
    """A town that is harvested again and again, and what its tables were after each batch."""

    pipeline: Pipeline
    folder: Path
    rng: random.Random
    county: County = field(default_factory=lambda: County.build(LOTS))
    moments: list[tuple[datetime, dict[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.described = town.town(self.folder)

    @property
    def url(self) -> str:
        return self.pipeline.database

    def judge(self) -> None:
        change_detection.update_parcel_zoning(self.url, self.described)
        change_detection.detect_changes(self.url, self.described)
        self.moments.append((now(self.url), hashes(self.url)))

    def harvest(self, feed: str, choose: Callable[[list[str]], list[str]] = list) -> list[Outcome]:
        outcomes = sync(self.pipeline, self.described, feed, choose=choose)
        self.judge()
        return outcomes

    def all(self) -> None:
        """Both feeds, the parcels in a few runs, each of some tiles."""
        parts = self.rng.randint(1, 3)
        for part in range(parts):
            assert failed(self.harvest(PARCELS, lambda tiles, part=part: tiles[part::parts])) == set()
        assert failed(self.harvest(ZONING)) == set()

    def release(self) -> None:
        """What the town serves from now on."""
        changed = Plan(districts=0, spots=6, partly=2, split=2, merged=2, renumbered=2, retired=2, added=2, edited=4)
        self.county = self.county.after_changes(changed)
        town.release(self.folder, self.county)

    def fix(self) -> None:
        """A row without a key gets one from a person, and what is kept is published anew."""
        (chosen, *_) = correction_records.rejected(self.url, jurisdiction=ID, reason="null_key")
        wish = FixRequest({"key": "NEW-1"})
        done = corrections.fix(
            self.url, self.pipeline.objects, self.described, [chosen], wish, actor="ann", reason="seen"
        )
        assert done == {}
        assert failed(sync(self.pipeline, self.described, stages=REPLAY)) == set()
        self.judge()

    def amend(self) -> None:
        """An ordinance explains what was rezoned last."""
        assert self.county.truth
        pin, (_, new) = next(iter(self.county.truth.rezoned.items()))
        told = Amendment(jurisdiction=ID, case_numbers=("Z-7",), status="adopted", parcel_ids=(pin,), new_codes=(new,))
        assert amendment_records.store(self.url, ID, [told])
        self.moments.append((now(self.url), hashes(self.url)))

    def accept(self) -> None:
        """A release that a tripwire holds is right, says a person."""
        town.release(self.folder, self.county, parcels=town.rekeyed)
        before = hashes(self.url)
        assert held(self.harvest(PARCELS))
        assert hashes(self.url) == before
        release_profiles.decide(self.url, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="new keys")
        assert failed(self.harvest(PARCELS)) == set()
        town.release(self.folder, self.county)
        assert held(self.harvest(PARCELS))
        release_profiles.decide(self.url, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="old keys again")
        assert failed(self.harvest(PARCELS)) == set()


def failed(outcomes: list[Outcome]) -> set[str]:
    return {str(each.error) for each in outcomes if each.error}


def held(outcomes: list[Outcome]) -> bool:
    return bool(outcomes) and all(isinstance(each.error, AcceptanceNeeded) for each in outcomes)


@pytest.fixture(params=[1, 2])
def life(pipeline: Pipeline, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Life]:
    """Seven releases in about 25 batches or more: tile by tile, a fix, an ordinance, and one that was held."""
    lived = Life(pipeline, tmp_path, random.Random(request.param))
    town.release(tmp_path, lived.county)
    for number in range(RELEASES):
        lived.all()
        {1: lived.fix, 2: lived.amend, 4: lived.accept}.get(number, lambda: None)()
        lived.release()
    lived.all()
    return lived


@pytest.mark.slow
def test_twenty_moments_in_any_order(life: Life, capsys: pytest.CaptureFixture[str]) -> None:
    """Then the county is as the portal has it again with the next harvest, and everything holds together."""
    url, last = life.url, hashes(life.url)
    batches = rows(url, "SELECT count(*) FROM zoning.batch WHERE undoes IS NULL AND feed IN ('parcels', 'zoning')")
    chosen = life.rng.sample(life.moments[:-1], MOMENTS)
    assert len({str(seen) for _, seen in chosen}) > MOMENTS / 2
    for number, (moment, seen) in enumerate(chosen):
        undo(life.pipeline, life.described, moment)
        assert hashes(url) == seen, f"rollback {number}"
        go_on(life.pipeline)
        assert change_detection.update_parcel_zoning(url, life.described).changed == 0
        assert hashes(url) == seen, f"after rollback {number}"
    assert audit_records.broken_audit_rows(url) == []
    if held(life.harvest(PARCELS)):  # the last moment was one of the other keys
        release_profiles.decide(url, ID, PARCELS, release_profiles.ACCEPTED, actor="ann", reason="keys as ever")
    life.all()
    assert {name: each for name, each in hashes(url).items() if name != "change"} == {
        name: each for name, each in last.items() if name != "change"
    }
    assert verify(url, life.pipeline.objects).faults == ()
    with capsys.disabled():
        sys.stdout.write(f"\n{batches[0][0]} batches; back to {MOMENTS} of {len(life.moments)} moments\n")
