"""The command line: `./zoning WORD` in a clone, `zoning WORD` when installed.

What belongs here: words, progress, tables for people, JSON for programs, exit statuses. What does not: doing the work.
Heavy imports (Dagster takes seconds) stand inside the commands that need them.
"""

from zoning_assets.cli.app import main

__all__ = ["main"]
