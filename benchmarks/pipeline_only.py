"""What `zoning sync JURISDICTION` does, without Dagster: harvest, tiles, map, shares and changes.

Run as a program (`python -m benchmarks.pipeline_only JURISDICTION`) with the environment of `zoning`. It is the control
of `zoning bench backfill`: the same calls as in zoning_assets/defs/assets.py, in the same order.
"""

import asyncio
import os
import sys
from functools import partial

from zoning_assets import jurisdictions
from zoning_assets.http import Http
from zoning_assets.model import PARCELS, ZONING, Outcome, Place
from zoning_assets.pipeline import change_detection
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.settings import Settings
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis import database
from zoning_assets.storage.postgis.records.rate_limits import PostgresLedger


def main() -> int:
    """Update a jurisdiction; return the exit status."""
    settings = Settings.of(os.environ)
    url = database.bring_up(settings.home, os.environ)
    described = jurisdictions.load(sys.argv[1], settings.jurisdictions, FEED_TYPES)
    outcomes: list[Outcome] = []
    with Pool() as pool:
        http = partial(Http, ledger=PostgresLedger(url))
        pipeline = Pipeline(Objects(settings.store_url), url, settings.scratch, pool, http)
        cover = asyncio.run(pipeline.harvest(described))
        tiles = [Place(described.id, tile) for tile in cover.tiles]
        for places, feed in ((tiles, PARCELS), ([Place(described.id)], ZONING)):
            asyncio.run(pipeline.run({described.id: described}, places, feed, STAGES, outcomes.append))
    change_detection.update_parcel_zoning(url, described)
    change_detection.detect_changes(url, described)
    errors = [each.error for each in outcomes if each.error]
    for error in errors:
        sys.stderr.write(f"{error}\n")
    return int(bool(errors))


if __name__ == "__main__":
    sys.exit(main())
