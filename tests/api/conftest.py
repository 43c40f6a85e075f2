"""A small town in PostGIS, and the API over it as a real server on loopback."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvicorn

from tests.support.databases import copied
from zoning_assets.api.application import application
from zoning_assets.api.server_limits import LIMITS
from zoning_assets.api.server_settings import ServerSettings
from zoning_assets.api.tokens import Tokens
from zoning_assets.cli.serve import listening, status_of
from zoning_assets.storage.postgis.reader_login import reader_url

TOWN, WEB = "us-xx-town", "us-xx-web"
READ_TOKEN, REVIEW_TOKEN = "read-0123456789abcdef", "review-0123456789abcdef"
#: Texts as a hostile portal may send them.
SCRIPT = "<script>document.title='owned'</script>"
FORMULA = "=cmd|'/c calc'!A1"
REVERSED = "\u202ecod.exe"

_ROWS = """
INSERT INTO zoning.batch (jurisdiction, tile, feed, harvest, rules, started, committed)
SELECT j, NULL, f, 'h', 'r', '2026-01-01', '2026-01-01'
FROM unnest(ARRAY['us-xx-town', 'us-xx-web']) j, unnest(ARRAY['parcels', 'zoning']) f;
INSERT INTO zoning.parcel
SELECT 'us-xx-town', 'P' || n, '892a3064b2fffff', 'R-1', 'R1', '101', n || ' Main St', '{}', 100, ST_Multi(
    ST_MakeEnvelope(-71 + n * 0.001, 42, -71 + n * 0.001 + 0.0009, 42.001, 4326)), 'h' || n, 1,
    '2026-01-01', timestamptz '2026-01-01 00:00+00' + n * interval '1 day'
FROM generate_series(1, 40) n;
INSERT INTO zoning.parcel
SELECT 'us-xx-web', 'W' || n, '892a3064b2fffff', 'C', 'C', NULL, n || ' Web Ave', '{}', 100, ST_Multi(ST_Transform(
    ST_MakeEnvelope(-72 + n * 0.001, 43, -72 + n * 0.001 + 0.0009, 43.001, 4326), 3857)), 'w' || n, 2,
    '2026-01-01', '2026-01-01'
FROM generate_series(1, 5) n;
INSERT INTO zoning.parcel
VALUES ('us-xx-town', %(script)s, '892a3064b2fffff', NULL, NULL, %(formula)s, %(reversed)s,
    '{}', 100, ST_Multi(ST_MakeEnvelope(-70.9, 42, -70.899, 42.001, 4326)), 'x', 1, '2026-01-01', '2026-01-01'),
    ('us-xx-town', '12/34 A?b=c', '892a3064b2fffff', NULL, NULL, NULL, NULL,
    '{}', 100, ST_Multi(ST_MakeEnvelope(-70.9, 42.01, -70.899, 42.011, 4326)), 'y', 1, '2026-01-01', '2026-01-01');
INSERT INTO zoning.parcel_version
SELECT jurisdiction, parcel_id, tile, 'R-0', 'R0', land_use, 'before ' || address, attributes, area_m2, geom, 'old', 1,
    '2025-01-01', '2025-01-01', '2025-01-01', last_changed, NULL, NULL, 1
FROM zoning.parcel WHERE jurisdiction = 'us-xx-town' AND parcel_id LIKE 'P%%';
INSERT INTO zoning.parcel_zoning
SELECT jurisdiction, parcel_id, 'base', CASE WHEN parcel_id IN ('P1', 'P2') THEN 'B-2' ELSE 'R-1' END, 80, 0.8, 1, true,
    NULL, 1, '2026-01-01'
FROM zoning.parcel WHERE parcel_id LIKE 'P%%' OR jurisdiction = 'us-xx-web';
INSERT INTO zoning.parcel_zoning VALUES
    ('us-xx-town', 'P1', 'base', 'R-1', 20, 0.2, 2, true, NULL, 1, '2026-01-01'),
    ('us-xx-town', %(script)s, 'base', %(script)s, 80, 1, 1, true, NULL, 1, '2026-01-01');
INSERT INTO zoning.code VALUES ('us-xx-town', 'R1', 'R-1', 'Primarily Residential', '', '2026-01-01'),
    ('us-xx-town', 'B2', 'B-2', 'Nonresidential', '', '2026-01-01'),
    ('us-xx-town', %(script)s, %(script)s, NULL, '', '2026-01-01');
INSERT INTO zoning.district
SELECT 'us-xx-town', 'D' || n, 'R-1', 'R1', 'Primarily Residential', NULL, '{}', 4000,
    ST_Multi(ST_MakeEnvelope(-71 + n * 0.01, 42, -71 + n * 0.01 + 0.01, 42.001, 4326)), 'd' || n, 1, now(), now()
FROM generate_series(0, 4) n;
INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules, drift_m, moved,
    tolerance_m, alarms, counts, judged)
VALUES ('us-xx-town', 0, 1, 0, 1, 'r', 0, 0, 1, '{}', '{}', '2026-01-02');
INSERT INTO zoning.change
SELECT md5('change' || n), 'us-xx-town', 'rezoned', CASE WHEN n = 1 THEN 'review' ELSE 'event' END, 'base',
    ARRAY['P' || n], 'R-1', 'B-2', n * 10, 0.5, CASE WHEN n = 1 THEN 0.2 ELSE 0.9 END, '2026-01-05',
    timestamptz '2026-01-02 00:00+00' + n / 5 * interval '1 hour',
    '{"batches": {"parcels_to": 1}, "rules": "r", "maps": ["a", "b"]}',
    ST_MakeEnvelope(-71 + n * 0.001, 42, -71 + n * 0.001 + 0.0005, 42.001, 4326), (SELECT max(id) FROM zoning.release)
FROM generate_series(1, 30) n;
INSERT INTO zoning.change VALUES (md5('attack'), 'us-xx-town', 'rezoned', 'event', 'base', ARRAY[%(script)s],
    %(script)s, %(formula)s, 1, 1, 0.9, NULL, '2026-01-03', jsonb_build_object('batches', '{}'::jsonb, 'rules',
    %(script)s::text, 'parcel_layer_says', %(script)s::text), NULL, (SELECT max(id) FROM zoning.release));
INSERT INTO zoning.rejection (batch_id, jurisdiction, tile, feed, reason, raw)
VALUES (1, 'us-xx-town', NULL, 'parcels', 'null_key', jsonb_build_object('attributes', jsonb_build_object(
    'NOTE', %(script)s::text)));
ANALYZE;
"""


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The JSON document."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Client:
    """Sends requests to the server as they are written: nothing is encoded."""

    port: int
    url: str  # of the database, for the writer

    def get(self, target: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """The answer to one request; `_` in the name of a header stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, body, named)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def json(self, target: str) -> Any:
        """The document of a good answer."""
        answer = self.get(target)
        assert answer.status == 200, (target, answer.body)
        return answer.document


def fill(url: str) -> None:
    """The town's rows."""
    texts = {"script": SCRIPT, "formula": FORMULA, "reversed": REVERSED}
    with psycopg.ClientCursor(psycopg.connect(url, autocommit=True)) as cursor:
        cursor.execute(_ROWS, texts)
        cursor.connection.close()


@contextmanager
def serving(settings: ServerSettings) -> Iterator[Client]:
    """The API on a free port of loopback, in a thread."""
    with listening("127.0.0.1", 0) as listener:
        config = uvicorn.Config(application(settings), log_level="critical", access_log=False, **LIMITS)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 60
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert server.started
        try:
            yield Client(listener.getsockname()[1], settings.write_url)
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def settings(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerSettings]:
    """The settings of a server over a copy of the town."""
    with copied(server, template) as (_, url):
        fill(url)
        read = reader_url(tmp_path_factory.mktemp("home"), url, 10)
        yield ServerSettings(
            read_url=read,
            write_url=url,
            status=lambda: status_of(read),
            tokens=Tokens((("review", REVIEW_TOKEN),)),
            portals={f"{TOWN}/zoning": "https://gis.example.org/zoning"},
            names={TOWN: SCRIPT},
            dagster="http://127.0.0.1:3000",
        )


@pytest.fixture(scope="module")
def api(settings: ServerSettings) -> Iterator[Client]:
    """The API on loopback, with a token for reviews."""
    with serving(settings) as client:
        yield client


@pytest.fixture(scope="module")
def remote_api(settings: ServerSettings) -> Iterator[Client]:
    """The API as it is started for another host than loopback."""
    tokens = Tokens((("read", READ_TOKEN), ("review", REVIEW_TOKEN)))
    with serving(replace(settings, tokens=tokens, is_loopback=False)) as client:
        yield client


@pytest.fixture(autouse=True)
def no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No jurisdiction files of this machine."""
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZONING_JURISDICTIONS", str(tmp_path))
