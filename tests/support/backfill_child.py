"""A part of a backfill as a process of its own: jurisdiction file, store, database, scratch, which part of how many."""

import asyncio
import sys
from pathlib import Path

from zoning_assets import jurisdictions
from zoning_assets.model import PARCELS, Outcome, Place
from zoning_assets.pipeline.pipeline import STAGES, Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects


def main() -> None:
    file, store, database, scratch, part, parts = sys.argv[1:]
    jurisdiction = jurisdictions.read(Path(file), FEED_TYPES)
    outcomes: list[Outcome] = []
    with Pool() as pool:
        pipeline = Pipeline(Objects(store), database, Path(scratch), pool)
        tiles = sorted(asyncio.run(pipeline.harvest(jurisdiction)).tiles)[int(part) :: int(parts)]
        places = [Place(jurisdiction.id, tile) for tile in tiles]
        asyncio.run(pipeline.run({jurisdiction.id: jurisdiction}, places, PARCELS, STAGES, outcomes.append))
    errors = [str(each.error) for each in outcomes if each.error]
    sys.exit("\n".join(errors) if errors else 0)


if __name__ == "__main__":
    main()
