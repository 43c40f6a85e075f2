"""The command line, in this process."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from zoning_assets.cli import main

Zoning = Callable[..., tuple[int, str, str]]


@pytest.fixture
def zoning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Zoning:
    """`zoning WORDS` in this process, on a machine where nothing is set up: its status, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith(("ZONING_", "DAGSTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path / "jurisdictions"))
    (tmp_path / "jurisdictions").mkdir()

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["zoning", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(str(ended.value.code)), said.out, said.err

    return run
