"""What the documents show is so: commands exist, files are accepted, queries run, and the tutorial works."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import Zoning
from tests.conftest import read_toml
from zoning_assets.cli.commands import COMMANDS, load
from zoning_assets.transform.changes import amendment_messages

CLONE = Path(__file__).parents[2]
DOCUMENTS = sorted([*CLONE.glob("*.md"), *(CLONE / "docs").rglob("*.md")])
NAMES = [str(path.relative_to(CLONE)) for path in DOCUMENTS]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`(?:\./)?zoning ([a-z][^`]*)`(?!`)")


def blocks(path: Path, language: str) -> list[str]:
    """The code blocks of a language in a document."""
    return [text for name, text in FENCED.findall(path.read_text(encoding="utf-8")) if name == language]


def shown(path: Path) -> Iterator[list[str]]:
    """The words after `./zoning` of each command in the shell blocks of a document."""
    for line in "".join(blocks(path, "sh")).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
        for start in [index for index, word in enumerate(words) if word == "./zoning"]:
            rest = words[start + 1 :]
            end = next((index for index, word in enumerate(rest) if set(word) <= set("|()<>;&")), len(rest))
            yield rest[:end]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and the words that follow its name."""
    assert words[0] in COMMANDS, f"there is no command {words[0]!r}"
    command, rest = load(words[0]), words[1:]
    while commands := getattr(command, "commands", None):
        if not rest:
            break
        assert rest[0] in commands, f"`zoning {words[0]}` has no command {rest[0]!r}"
        command, rest = commands[rest[0]], rest[1:]
    return command, rest


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_is_shown_can_be_parsed(name: str) -> None:
    """Name, options, their values, and what is required."""
    for words in shown(CLONE / name):
        command, rest = command_of(words)
        command.make_context(words[0], rest)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_in_the_text_exists_with_its_options(name: str) -> None:
    text = FENCED.sub("", (CLONE / name).read_text(encoding="utf-8"))
    for found in INLINE.findall(text):
        command, rest = command_of(found.replace("[", "").replace("]", "").split())
        options = {option for each in command.params for option in each.opts}
        unknown = {word.partition("=")[0] for word in rest if word.startswith("--")} - options - {"--help"}
        assert not unknown, f"`zoning {found}`"


@pytest.mark.parametrize("name", NAMES)
def test_every_jurisdiction_file_is_accepted(name: str, tmp_path: Path) -> None:
    for text in blocks(CLONE / name, "toml"):
        found = re.search(r'^id = "(.+?)"', text)
        assert found, "a TOML block is a whole jurisdiction file"
        read_toml(tmp_path, text, found[1])


def test_every_query_runs(database: str) -> None:
    queries = [(name, text) for name in NAMES for text in blocks(CLONE / name, "sql") if "SELECT" in text]
    assert queries
    with psycopg.connect(database) as connection:
        for name, text in queries:
            for query in filter(str.strip, text.split(";")):
                assert connection.execute(query.encode()).description, f"{name}: {query}"


def test_every_message_is_accepted() -> None:
    lines = "".join("".join(blocks(path, "sh")) for path in DOCUMENTS).splitlines()
    messages = [shlex.split(line.partition("|")[0])[1] for line in lines if line.startswith("echo ")]
    assert messages
    for message in messages:
        amendment_messages.read_amendment(message)


def test_every_decision_is_listed() -> None:
    folder = CLONE / "docs" / "decisions"
    index = (folder / "index.md").read_text(encoding="utf-8")
    written = {str(path.relative_to(folder)) for path in folder.rglob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\(([\w/-]+\.md)\)", index)) == written


def test_the_schema_of_messages_is_printed_without_a_database(zoning: Zoning) -> None:
    status, out, _ = zoning("queue", "schema")
    assert status == 0
    assert "case_numbers" in json.loads(out)["$defs"]["AmendmentMessage"]["properties"]


@pytest.mark.slow
def test_the_tutorial_works(tmp_path: Path) -> None:
    """Its commands one after the other, in a home of their own; then the first query of the README with its answer."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    environ |= {"ZONING_HOME": str(tmp_path / "home")}
    script = "".join(blocks(CLONE / "docs" / "tutorial.md", "sh")).replace("> rezoned.csv", "> /dev/null")
    (query,) = blocks(CLONE / "README.md", "sql")
    try:
        done = bash(script, environ)
        assert done.returncode == 0, done.stderr
        answer = bash(f'./zoning db psql -c "{query}"', environ)
    finally:
        bash("./zoning db down", environ)
    rows = [line.rstrip() for line in answer.stdout.splitlines()[:5]]
    assert "\n".join(rows) + "\n" in blocks(CLONE / "README.md", "")


def bash(script: str, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a script in the clone; it ends at the first command that fails."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=CLONE, env=environ, capture_output=True, text=True, check=False
    )
