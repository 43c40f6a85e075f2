"""A run as a process of its own, for tests that kill it: jurisdiction file, store, database, scratch."""

import asyncio
import sys
from pathlib import Path

from zoning_assets import jurisdictions
from zoning_assets.model import PARCELS, ZONING, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects


def main() -> None:
    file, store, database, scratch = sys.argv[1:]
    jurisdiction = jurisdictions.read(Path(file), FEED_TYPES)
    outcomes: list[Outcome] = []
    with Pool() as pool:
        pipeline = Pipeline(Objects(store), database, Path(scratch), pool)
        cover = asyncio.run(pipeline.harvest(jurisdiction))
        known = {jurisdiction.id: jurisdiction}
        tiles = [Place(jurisdiction.id, tile) for tile in cover.tiles]
        asyncio.run(pipeline.run(known, tiles, PARCELS, STAGES, outcomes.append))
        asyncio.run(pipeline.run(known, [Place(jurisdiction.id)], ZONING, STAGES, outcomes.append))
    sys.exit(any(outcome.error for outcome in outcomes))


if __name__ == "__main__":
    main()
