"""What Dagster loads."""

import os

from zoning_assets.orchestration.build import definitions
from zoning_assets.settings import Settings

defs = definitions(Settings.of(os.environ))
