"""The map page in a browser: what tests do with it, what they measure, and the server behind it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from PIL import Image

from tests.conftest import rows
from tests.integration.peers.install import python
from tests.support.databases import copied

AXE = "axe-playwright-python==0.1.8"
DESKTOP = (1360, 860)
COMMAND = [sys.executable, "-m", "zoning_assets.cli"]


@dataclass(frozen=True)
class MapServer:
    """`zoning serve`: its address, a token that may review, and the database as its owner."""

    address: str
    token: str
    url: str


@dataclass
class MapPage:
    """The page of the map, what it logged, and what it requested."""

    page: Any
    server: MapServer
    pictures: Path
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: str = "/", size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
        """Load a view anew, and wait until it is complete."""
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        self.page.goto("about:blank")
        self.page.goto(self.server.address + path)
        self.page.locator("html[data-ready]").wait_for()
        self.settle()

    def settle(self) -> None:
        """Wait until no tile is loading any more."""
        self.page.wait_for_load_state("networkidle")
        self.page.wait_for_timeout(400)

    def title(self, pattern: str) -> None:
        """Wait until the heading of the panel is this."""
        self.page.locator(".title", has_text=re.compile(pattern)).wait_for()
        self.settle()

    def count(self, color: tuple[int, int, int]) -> int:
        """How many pixels of the right half of the map have a colour; the legend and the slider lie elsewhere."""
        whole = Image.open(BytesIO(self.page.locator("#stage").screenshot())).convert("RGB")
        image = whole.crop((whole.width // 2, 0, whole.width, whole.height - 100))
        return sum(number for number, each in image.getcolors(image.width * image.height) if each == color)

    def picture(self, name: str) -> None:
        self.page.screenshot(path=self.pictures / f"{name}.png")

    def accessible(self) -> None:
        """axe-core finds nothing serious or critical."""
        self.page.evaluate(axe())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        bad = [each for each in found if each["impact"] in ("serious", "critical")]
        assert not [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in bad]

    def one(self, query: str, *values: object) -> Any:
        return rows(self.server.url, query, *values)[0][0]


def axe() -> str:
    """The script of axe-core."""
    site = next(python("axe", "--no-deps", AXE).parents[1].glob("lib/python*/site-packages"))
    return next(site.glob("axe_playwright_python/**/axe.min.js")).read_text()


@contextmanager
def watched(page: Any, server: MapServer, folder: Path) -> Iterator[MapPage]:
    """The page; afterwards: nothing failed in it, and it requested nothing from another host.

    `ZONING_SCREENSHOTS` names a folder for the pictures; else they go to `folder`.
    """
    pictures = Path(os.environ.get("ZONING_SCREENSHOTS") or folder)
    pictures.mkdir(parents=True, exist_ok=True)
    found = MapPage(page, server, pictures)
    listeners = {
        "console": lambda each: found.problems.append(each.text) if each.type == "error" else None,
        "pageerror": lambda error: found.problems.append(str(error)),
        "request": lambda request: found.requests.append(request.url),
    }
    for name, listener in listeners.items():
        page.on(name, listener)
    yield found
    for name, listener in listeners.items():
        page.remove_listener(name, listener)
    assert found.problems == []
    outside = [each for each in found.requests if urlsplit(each).hostname not in (None, "", "127.0.0.1")]
    assert outside == []
    assert found.requests


@contextmanager
def published(server: str, template: str, folder: Path, commands: Iterator[list[str]]) -> Iterator[MapServer]:
    """A new database, filled by some commands one after the other, and served."""
    with copied(server, template) as (name, url):
        places = {"HOME": "", "ZONING_HOME": "home", "DAGSTER_HOME": "dagster", "ZONING_JURISDICTIONS": "jurisdictions"}
        environ = {**os.environ, "ZONING_DATABASE_URL": url} | {key: str(folder / each) for key, each in places.items()}
        for each in commands:
            subprocess.run([*COMMAND, *each], env=environ, check=True, timeout=600, stdout=subprocess.DEVNULL)
        owner = urlsplit(server)._replace(path=f"/{name}").geturl()
        with _serving(environ) as printed:
            yield MapServer(printed["map"].rstrip("/"), printed["review_token"], owner)


@contextmanager
def _serving(environ: dict[str, str]) -> Iterator[dict[str, str]]:
    """`zoning serve`, as a user starts it: what it printed."""
    command = [*COMMAND, "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield json.loads("".join(iter(started.stdout.readline, "}\n")) + "}")
        finally:
            started.terminate()
            started.wait(30)
