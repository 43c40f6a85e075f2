"""The command line: `./zoning WORD` in a clone, `zoning WORD` when installed.

What belongs here: words, progress, tables for people, JSON for programs, exit statuses. What does not: doing the work.
Heavy imports (Dagster takes seconds) stand inside the commands that need them.
"""

import sys

from zoning_assets.cli import signals

_STOPPED = 130


def main() -> None:
    """Run the command line. A signal is one line from the first moment on: importing the words takes a second."""
    with signals.watched():
        try:
            signals.listen()
            from zoning_assets.cli.app import main as run  # noqa: PLC0415

            run()
        except KeyboardInterrupt:  # before or after what `run` answers itself
            signals.end_if_one_came()
            sys.stderr.write("zoning: stopped before anything was begun\n")
            sys.exit(_STOPPED)
