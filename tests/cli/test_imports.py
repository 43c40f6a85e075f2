"""What a command imports: a look costs no import that only a harvest needs, on any machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoning_assets.cli.commands import COMMANDS, load

#: Runs a command as `zoning` does, and then writes the names of all top-level modules to the file that is named first.
RUN = """
import sys
from pathlib import Path
seen, sys.argv = Path(sys.argv[1]), ["zoning", *sys.argv[2:]]
from zoning_assets.cli import main
try:
    main()
finally:
    seen.write_text("\\n".join({each.partition(".")[0] for each in sys.modules}))
"""
#: What a step of a run works with.
STEPS = {"geopandas", "pandas", "numpy", "pyarrow", "shapely", "pyproj", "h3", "pyogrio", "lxml", "obstore", "PIL"}
HARVESTING = STEPS | {"dagster", "sqlalchemy", "alembic", "structlog", "prometheus_client"}
TABLES = {"rich", "pygments"}
DATABASE = {"psycopg", "asyncio"}


def imported(tmp_path: Path, url: str | None, *words: str) -> set[str]:
    """The top-level modules of a process in which a command ran."""
    seen = tmp_path / "seen"
    settings = {"ZONING_HOME": str(tmp_path / "home"), "ZONING_JURISDICTIONS": str(tmp_path / "files")}
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    environ |= settings | ({"ZONING_DATABASE_URL": url} if url else {})
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(seen), *words],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(seen.read_text().split())


def test_help_imports_only_the_command_line(tmp_path: Path) -> None:
    found = imported(tmp_path, None, "--help")
    assert "typer" in found
    assert not found & (HARVESTING | TABLES | DATABASE | {"aiohttp", "pydantic"})


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["changes"], ["changes", "--json"], ["changes", "--csv"]], ids=" ".join
)
def test_a_look_imports_nothing_that_only_a_harvest_needs(tmp_path: Path, database: str, words: list[str]) -> None:
    found = imported(tmp_path, database, *words)
    assert "psycopg" in found
    assert not found & HARVESTING


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", [["status", "--json"], ["changes", "--json"], ["changes", "--csv"]], ids=" ".join)
def test_a_document_for_programs_needs_no_tables(tmp_path: Path, database: str, words: list[str]) -> None:
    assert not imported(tmp_path, database, *words) & TABLES


def test_definitions_import_nothing_that_only_a_step_needs() -> None:
    """The UI, the daemon and each run import them."""
    names = "import sys, zoning_assets.definitions; print(*{each.partition('.')[0] for each in sys.modules})"
    done = subprocess.run([sys.executable, "-c", names], capture_output=True, text=True, timeout=120, check=True)
    found = set(done.stdout.split())
    assert "dagster" in found
    assert not found & STEPS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_its_docstring_says(name: str) -> None:
    """`zoning --help` imports no command, so the table repeats the first paragraphs of the docstrings."""
    first, _, _ = load(name).help.partition("\n\n")
    assert " ".join(first.split()) == COMMANDS[name].help
