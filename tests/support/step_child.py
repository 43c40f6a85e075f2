"""A run of some assets as a process of its own, as a worker executes it: names of the assets, and partition keys."""

import os
import sys

from zoning_assets.cli import bootstrap
from zoning_assets.defs import in_process_runs, partitions
from zoning_assets.defs.build import definitions
from zoning_assets.settings import Settings


def main() -> None:
    """`tiles`: all tiles of the jurisdictions; `whole`: the jurisdictions themselves."""
    names, which, *ids = sys.argv[1:]
    with bootstrap.dagster_instance() as instance:
        keys = ids if which == "whole" else [key for each in ids for key in partitions.keys_of(instance, each)]
        result = in_process_runs.materialize(definitions(Settings.of(os.environ)), instance, names.split(","), keys)
    for why in result.failed.values():
        print(why, file=sys.stderr)  # noqa: T201 - the test reads it
    sys.exit(bool(result.failed))


if __name__ == "__main__":
    main()
