"""What Dagster loads: all assets over all known jurisdictions.

Files are listed here and read when they are needed, so that one typo does not take the others away;
a run of that jurisdiction says what is wrong with it.
"""

import os

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.orchestration.assets import parcels_by_tile, whole_assets
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.settings import Settings


def build() -> dg.Definitions:
    """The definitions under the settings of this process."""
    ids = jurisdictions.files(Settings.of(os.environ).jurisdictions)
    return dg.Definitions(
        assets=[parcels_by_tile, *whole_assets(ids)],
        resources={"zoning": Zoning()},
        # One process a run: the pipeline has its own pool, and a process a step would cost seconds (DESIGN).
        executor=dg.in_process_executor,
    )


defs = build()
