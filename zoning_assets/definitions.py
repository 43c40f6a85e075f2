"""The code location that Dagster loads: `defs`, or one attribute for each group of jurisdictions (`location_us_ma`).

A group's attribute is computed when it is asked for: workspace.yaml names it (cli/locations.py writes that file).
"""

import os

import dagster as dg

from zoning_assets import jurisdictions, log_config
from zoning_assets.defs.build import definitions
from zoning_assets.jurisdictions.locations import Locations
from zoning_assets.settings import Settings

log_config.log_as_json()
_settings = Settings.of(os.environ)
_locations = Locations.of(_settings.locations)
if not _locations.is_grouped:
    defs = definitions(_settings)


def __getattr__(name: str) -> dg.Definitions:
    """Return the definitions of the group with this attribute."""
    for location in _locations.all(jurisdictions.files(_settings.jurisdictions)):
        if location.name and location.attribute == name:
            return definitions(_settings, location=location)
    raise AttributeError(name)
