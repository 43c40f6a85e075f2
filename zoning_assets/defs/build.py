"""Builds the Dagster definitions: assets for all known jurisdictions, jobs, sensors and resources."""

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defs.assets import parcels_by_tile, whole_assets
from zoning_assets.defs.jobs import JOBS
from zoning_assets.defs.minutes_job import read_minutes
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_requests import asset_jobs
from zoning_assets.defs.sensors.all_sensors import sensors
from zoning_assets.jurisdictions.locations import WHOLE, Location, Locations
from zoning_assets.settings import Settings

if TYPE_CHECKING:
    from zoning_assets.http import ResponseCaches


def definitions(
    settings: Settings,
    kept: "ResponseCaches | None" = None,
    location: Location = WHOLE,
    zoning: Zoning | None = None,
) -> dg.Definitions:
    """Return the definitions for these settings.

    Args:
        settings: the settings of this process.
        kept: portal answers that the calling command has already received.
        location: only of this group of jurisdictions; the only group, if jurisdictions are not grouped.
        zoning: the resource of assets and sensors; None: the real one. A simulation has its own.

    Jurisdiction files are only listed here. Each file is read when it is needed, so one invalid file does not affect
    other jurisdictions. A run of that jurisdiction reports what is wrong with its file.
    """
    # Dagster 1.13 warns about its own parameter when a sensor uses resources.
    warnings.filterwarnings("ignore", "Parameter `owners` of initializer", dg.BetaWarning)
    # One process per run: the pipeline has its own worker pool, and a process per step would add seconds.
    jobs = asset_jobs(location)
    known, locations = jurisdictions.files(settings.jurisdictions), Locations.of(settings.locations)
    ids = [each for each in known if location == WHOLE or locations.find(each) == location]
    is_first = location == WHOLE or locations.all(known)[:1] == [location]
    return dg.Definitions(
        assets=[parcels_by_tile(location), *whole_assets(ids, location)],
        resources={"zoning": zoning or Zoning(), "kept": {} if kept is None else kept},
        executor=dg.in_process_executor,
        jobs=[*JOBS, read_minutes, *jobs],
        sensors=sensors(jobs, location, is_first=is_first),
    )
