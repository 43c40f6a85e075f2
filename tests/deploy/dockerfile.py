"""Executes the instructions of deploy/Dockerfile in folders with a Debian; no container engine is needed for that."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.debian_root import fetching_environ

_MOST_S = 1500


@dataclass
class Stage:
    """What a stage has set so far: its root folder, and the settings of its programs."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    where: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile: the word and the rest of the line, continued lines joined."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def built(text: str, context: Path, roots: Sequence[Path]) -> Stage:
    """Execute all stages; return the last one.

    Args:
        text: the Dockerfile.
        context: the folder of the files that are copied.
        roots: a folder with the system of the base image for each stage.
    """
    stages: dict[str, Stage] = {}
    left, stage = list(roots), Stage(Path())
    for word, rest in instructions(text):
        if word == "FROM":
            stage = stages[rest.rpartition(" AS ")[2]] = Stage(left.pop(0))
        elif word in _ACTIONS:
            _ACTIONS[word](stage, rest, context, stages)
        else:
            assert word in ("ARG", "LABEL", "EXPOSE", "VOLUME"), word
    return stage


def chroot(stage: Stage, words: Sequence[str], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program in a stage as its user."""
    command = [str(shutil.which("chroot")), f"--userspec={stage.user}", str(stage.root), *words]
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return subprocess.run(
        command,
        env={"PATH": path, "HOME": "/root", **environ, **stage.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MOST_S,
        check=False,
    )


def _run(stage: Stage, rest: str, *_: object) -> None:
    environ = fetching_environ() | {"DEBIAN_FRONTEND": "noninteractive"}
    done = chroot(stage, ["/bin/sh", "-c", f"cd {shlex.quote(stage.where)} && {rest}"], environ)
    assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def _copy(stage: Stage, rest: str, context: Path, stages: Mapping[str, Stage]) -> None:
    words = rest.split()
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    into = stage.root / os.path.join(stage.where, target).lstrip("/")  # noqa: PTH118 -- an absolute target replaces
    for name in names:
        file = source / name.lstrip("/")
        place = into / file.name if target.endswith("/") else into
        place.parent.mkdir(parents=True, exist_ok=True)
        if file.is_dir():
            shutil.copytree(file, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(file, place)


def _where(stage: Stage, rest: str, *_: object) -> None:
    stage.where = rest
    (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)


def _environ(stage: Stage, rest: str, *_: object) -> None:
    stage.environ |= dict(word.split("=", 1) for word in shlex.split(rest))


def _user(stage: Stage, rest: str, *_: object) -> None:
    stage.user = rest


def _entrypoint(stage: Stage, rest: str, *_: object) -> None:
    stage.entrypoint = json.loads(rest)


def _command(stage: Stage, rest: str, *_: object) -> None:
    stage.command = json.loads(rest)


def _health(stage: Stage, rest: str, *_: object) -> None:
    stage.health = json.loads(rest.partition("CMD ")[2])


_ACTIONS = {
    "RUN": _run,
    "COPY": _copy,
    "WORKDIR": _where,
    "ENV": _environ,
    "USER": _user,
    "ENTRYPOINT": _entrypoint,
    "CMD": _command,
    "HEALTHCHECK": _health,
}
