"""A signal while the command line is still being imported."""

import subprocess
import sys

_INTERRUPTED_WHILE_A_CLASS_IS_CREATED = """
import os, signal, sys
from zoning_assets import cli

class Attribute:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), signal.SIGINT)

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "zoning_assets.cli.app":
            type("Created", (), {"attribute": Attribute()})

sys.meta_path.insert(0, Finder)
cli.main()
"""


def test_an_interrupt_while_a_class_is_created_is_no_traceback() -> None:
    """Python 3.11 raises RuntimeError from the KeyboardInterrupt."""
    command = [sys.executable, "-c", _INTERRUPTED_WHILE_A_CLASS_IS_CREATED]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (130, 1, False), done.stderr
