"""The command line: `./zoning WORD` in a clone, `zoning WORD` when installed.

What belongs here: words, progress, tables for people, JSON for programs, exit statuses. What does not: doing the work.
Heavy imports (Dagster takes seconds) stand inside the commands that need them.
"""

import sys

_STOPPED = 130


def main() -> None:
    """Run the command line. Ctrl-C is one line from the first moment on: importing the words takes a second itself."""
    try:
        from zoning_assets.cli.app import main as run  # noqa: PLC0415
    except KeyboardInterrupt:
        sys.stderr.write("zoning: stopped before anything was begun\n")
        sys.exit(_STOPPED)
    run()
