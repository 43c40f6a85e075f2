"""The commands of docs/how-to/deploy.md for one machine, on a new Debian 12 and 13 with systemd as process 1."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.booted_machine import BootedMachine, booted
from tests.support.debian_root import copy_tree

PAGE = Path(__file__).parents[2] / "docs/how-to/deploy.md"
#: The clone comes from a repository on the machine: git reads this address instead of that of the page.
CLONED = "https://git.example.org/zoning_assets.git"
UNITS = ("zoning-up", "zoning-serve", "zoning-verify", "zoning-backup", "zoning-worker@1")
MOST_EXPOSURE = 3.0


def section(name: str) -> list[str]:
    """The shell blocks below a heading of the page, up to the next heading of the same or a higher level."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(name)}\n(.*?)(?=^##? |^### |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, name
    return re.findall(r"^```sh\n(.*?)^```$", found[2], re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def machine(request: pytest.FixtureRequest) -> Iterator[BootedMachine]:
    """A machine on which the page's commands were run."""
    with booted(request.param) as found:
        copy_tree(found.folder / "srv/tree")
        for number, block in enumerate(section("One machine")):
            began = time.monotonic()
            must(found, block)
            print(f"{request.param}: block {number + 1}: {time.monotonic() - began:.0f} s")  # noqa: T201 -- pytest -s
            if number == 0:
                must(found, REPOSITORY)
        yield found


#: A portal on the machine, and a file that describes it, where the service looks for it.
PORTAL = """
systemd-run --quiet --uid=zoning --unit=portal --collect /opt/zoning/.zoning/venv/bin/python -P \\
    -m zoning_assets.simulation.portal.portal --release 2 --port 8123
curl -sS --retry 60 --retry-all-errors --retry-delay 1 --output /dev/null http://127.0.0.1:8123/
/opt/zoning/.zoning/venv/bin/python -P > /etc/zoning/jurisdictions/us-xx-simulated.toml <<'END'
from zoning_assets.simulation.county.county import county_toml
print(county_toml("http://127.0.0.1:8123"))
END
"""
SUBMITTED = "SELECT count(*) FROM zoning_dagster.run_tags WHERE key = 'zoning/command'"
REPOSITORY = f"""
cd /srv/tree && git init --quiet && git add --all
git -c user.name=test -c user.email=test@example.org commit --quiet --message=tree
git config --system url.file:///srv/tree.insteadOf {CLONED}
git config --system --add safe.directory '*'
"""


def must(machine: BootedMachine, script: str) -> str:
    """Run a script on the machine; it succeeds. Returns its output."""
    done = machine.run(script)
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}\n{journal(machine)}"
    return done.stdout


def journal(machine: BootedMachine) -> str:
    return machine.run("journalctl --no-pager --lines=60 --priority=notice || true").stdout[-6000:]


def get(machine: BootedMachine, path: str, *options: str, host: str = "127.0.0.1:8484") -> str:
    """A GET on the machine, which succeeds."""
    return must(machine, f"curl -sS --fail --max-time 30 {' '.join(options)} 'http://{host}{path}'")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_commands_of_the_page_lead_to_a_served_map(machine: BootedMachine) -> None:
    """The map's page, a tile and the collections of the simulated county; `zoning verify` finds nothing."""
    assert "<!doctype html>" in get(machine, "/", "-H", "Accept:text/html").lower()
    listed = json.loads(get(machine, "/collections", "-H", "Accept:application/json"))["collections"]
    assert "zoning.zoned_parcel" in {each["id"] for each in listed}
    items = json.loads(get(machine, "/collections/zoning.zoned_parcel/items?limit=1"))
    west, south, *_ = items["features"][0]["geometry"]["coordinates"][0][0][0]
    path = f"/collections/zoning.zoned_parcel/tiles/WebMercatorQuad/{tile_of(west, south)}"
    size = int(get(machine, path, "-o", "/dev/null", "-w", "%{size_download}"))
    assert size > 100
    assert json.loads(must(machine, "zoning verify --json"))["ok"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_units_are_valid_and_hardened(machine: BootedMachine) -> None:
    must(machine, "systemd-analyze verify /etc/systemd/system/zoning-*.service /etc/systemd/system/zoning-*.timer")
    for unit in UNITS:
        text = must(machine, f"systemd-analyze security --no-pager {unit}.service | tail -1")
        exposure = re.search(r"exposure level for \S+: ([\d.]+)", text)
        assert exposure, text
        print(f"{unit}: {exposure[1]}")  # noqa: T201 -- shown by pytest -s
        assert float(exposure[1]) <= MOST_EXPOSURE


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_timers_services_work(machine: BootedMachine) -> None:
    """The check, and a dump that pg_restore can read."""
    must(machine, "systemctl start zoning-verify.service zoning-backup.service")
    assert "TABLE DATA zoning parcel" in must(machine, "pg_restore --list /var/lib/zoning-backup/zoning-*.dump")
    assert must(machine, "stat -c %a /var/lib/zoning-backup/zoning-*.dump").strip() == "640"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_work_within_the_service(machine: BootedMachine) -> None:
    """`zoning sync` submits its runs to the service, whose restrictions then apply to them."""
    must(machine, PORTAL)
    try:
        reports = json.loads(must(machine, "zoning sync us-xx-simulated --force --json"))
    finally:
        must(machine, "systemctl stop portal; rm /etc/zoning/jurisdictions/us-xx-simulated.toml")
    assert reports
    assert int(must(machine, f'runuser -u zoning -- psql zoning -Atc "{SUBMITTED}"')) > 0
    assert json.loads(must(machine, "zoning verify --json"))["ok"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_map_for_others_needs_a_token(machine: BootedMachine) -> None:
    must(machine, "umask 027; echo read:0123456789abcdef0123 > /etc/zoning/api-tokens")
    must(machine, "chgrp zoning /etc/zoning/api-tokens")
    must(machine, "sed -i 's/^#ZONING_API_TOKENS/ZONING_API_TOKENS/' /etc/zoning/zoning.env")
    must(machine, "".join(section("Let others use it")))
    waiting = ("--retry", "30", "--retry-all-errors", "--retry-delay", "1")
    get(machine, "/", *waiting, "-H", "Accept:text/html", "-H", "Host:zoning.example.org", host="127.0.0.2:8484")
    refused = machine.run("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.2:8484/collections")
    assert refused.stdout == "401"
    get(machine, "/collections", "-H", "'Authorization: Bearer 0123456789abcdef0123'", host="127.0.0.2:8484")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_killed_service_comes_back(machine: BootedMachine) -> None:
    must(machine, "systemctl kill --kill-whom=all --signal=SIGKILL zoning-up.service")
    get(machine, "/conformance", "--retry", "60", "--retry-all-errors", "--retry-delay", "1")
    must(machine, "systemctl is-active zoning-up.service")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_commands_of_an_upgrade_work(machine: BootedMachine) -> None:
    must(machine, "".join(section("Upgrade")))
    get(machine, "/conformance", "--retry", "60", "--retry-all-errors", "--retry-delay", "1")


def tile_of(longitude: float, latitude: float, zoom: int = 14) -> str:
    """Zoom, column and row of the web map tile at a point."""
    from math import asinh, pi, radians, tan  # noqa: PLC0415

    count = 2**zoom
    column = int((longitude + 180) / 360 * count)
    row = int((1 - asinh(tan(radians(latitude))) / pi) / 2 * count)
    return f"{zoom}/{column}/{row}"
