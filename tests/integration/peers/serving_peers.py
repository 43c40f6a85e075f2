"""Servers that are not ours, serving Cambridge FY2014 on loopback while a test runs."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.integration.peers import install

#: Hands a listening socket, here standard input, on as descriptor 3, as systemd does: who asks early, waits.
HAND_OVER = 'exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"'

LIGHTTPD = """
server.systemd-socket-activation = "enable"
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}/files"
server.errorlog = "{folder}/error.log"
server.modules = ("mod_alias", "mod_cgi", "mod_setenv")
mimetype.assign = (".geojson" => "application/geo+json", ".zip" => "application/zip")
alias.url = ("/cgi-bin/" => "{tree}/usr/lib/cgi-bin/")
$HTTP["url"] =~ "^/cgi-bin/" {{ cgi.assign = ("" => "") }}
setenv.add-environment = ({environ})
"""
MAPSERVER = """
CONFIG
  ENV MS_MAP_NO_PATH "1" END
  MAPS CITY "{folder}/city.map" END
END
"""
MAP = """
MAP
  NAME "cambridge"
  EXTENT 700000 2900000 800000 3000000
  UNITS FEET
  PROJECTION "init=epsg:2249" END
  WEB
    METADATA
      "ows_title" "Cambridge"
      "ows_enable_request" "*"
      "oga_enable_request" "*"
      "ows_srs" "EPSG:2249 EPSG:4326"
      "ows_onlineresource" "http://127.0.0.1:{port}/cgi-bin/mapserv?map=CITY&"
      "oga_onlineresource" "http://127.0.0.1:{port}/cgi-bin/mapserv/CITY/ogcapi"
      "wfs_maxfeatures" "1000"
      {counts}
    END
  END
  OUTPUTFORMAT
    NAME "geojson"
    DRIVER "OGR/GEOJSON"
    MIMETYPE "application/json; subtype=geojson"
    FORMATOPTION "STORAGE=stream"
    FORMATOPTION "FORM=SIMPLE"
  END
  {layers}
END
"""
LAYER = """
  LAYER
    NAME "{name}"
    TYPE POLYGON
    STATUS ON
    {data}
    PROJECTION "init=epsg:2249" END
    TEMPLATE "x"
    METADATA
      "ows_title" "{name}"
      "gml_featureid" "OBJECTID"
      "oga_featureid" "OBJECTID"
      "gml_include_items" "all"
      "gml_types" "auto"
      "wfs_getfeature_formatlist" "{formats}"
    END
  END
"""
SHAPEFILE = 'DATA "{folder}/parcels_FY2014.shp"'
GEOPACKAGE = 'CONNECTIONTYPE OGR CONNECTION "{folder}/parcels.gpkg" DATA "parcels"'


@contextmanager
def lighttpd(folder: Path, *, counts: bool = True) -> Iterator[str]:
    """MapServer at /cgi-bin/mapserv, and the files below `folder`/files; the server's address.

    Layers: `parcels` (the shapefile in `folder`), `gml` (the same, without GeoJSON) and `gpkg` (the GeoPackage).
    """
    debian = install.debian()
    with _listening() as (listening, port):
        layers = {
            "parcels": (SHAPEFILE, "gml,gml3,geojson"),
            "gml": (SHAPEFILE, "gml,gml3"),
            "gpkg": (GEOPACKAGE, "gml,gml3,geojson"),
        }
        texts = [
            LAYER.format(name=name, data=data.format(folder=folder), formats=formats)
            for name, (data, formats) in layers.items()
        ]
        matched = '"wfs_compute_number_matched" "true"' if counts else ""
        (folder / "city.map").write_text(MAP.format(port=port, counts=matched, layers="".join(texts)))
        (folder / "mapserver.conf").write_text(MAPSERVER.format(folder=folder))
        names = ("LD_LIBRARY_PATH", "PROJ_DATA", "PROJ_LIB", "GDAL_DATA")
        environ = {name: debian.environ[name] for name in names}
        environ["MAPSERVER_CONFIG_FILE"] = str(folder / "mapserver.conf")
        pairs = ", ".join(f'"{name}" => "{value}"' for name, value in environ.items())
        text = LIGHTTPD.format(folder=folder, tree=debian.tree, port=port, environ=pairs)
        (folder / "lighttpd.conf").write_text(text)
        program = [str(debian.tree / "usr/sbin/lighttpd"), "-D", "-f", str(folder / "lighttpd.conf")]
        command = [*program, "-m", str(debian.tree / "usr/lib/lighttpd")]
        with _running(command, listening, debian.environ, folder):
            yield f"http://127.0.0.1:{port}"


CRS = "http://www.opengis.net/def/crs"
EXTENTS = {"spatial": {"bbox": [-71.17, 42.35, -71.06, 42.41], "crs": f"{CRS}/OGC/1.3/CRS84"}}
LINK = {"name": "x", "url": "http://127.0.0.1/"}


def _collection(**provider: object) -> dict[str, object]:
    about = {"type": "collection", "title": "t", "description": "d", "keywords": ["k"], "links": [], "extents": EXTENTS}
    return {**about, "providers": [{"type": "feature", "id_field": "OBJECTID", **provider}]}


@contextmanager
def pygeoapi(folder: Path) -> Iterator[str]:
    """pygeoapi with the collections `geojson` and `gpkg` (from `folder`); at most 1,000 rows a page, without a word."""
    interpreter, debian = install.pygeoapi(), install.debian()
    with _listening() as (listening, port):
        stored = {"storage_crs": f"{CRS}/EPSG/0/2249", "crs": [f"{CRS}/OGC/1.3/CRS84", f"{CRS}/EPSG/0/2249"]}
        resources = {
            "geojson": _collection(name="GeoJSON", data=str(folder / "parcels.geojson")),
            "gpkg": _collection(name="SQLiteGPKG", data=str(folder / "parcels.gpkg"), table="parcels", **stored),
        }
        identification = {"title": "t", "description": "d", "keywords": ["k"], "keywords_type": "theme"}
        config = {
            "server": {
                "bind": {"host": "127.0.0.1", "port": port},
                "url": f"http://127.0.0.1:{port}",
                "mimetype": "application/json; charset=UTF-8",
                "encoding": "utf-8",
                "languages": ["en-US"],
                "limits": {"default_items": 10, "max_items": 1000, "on_exceed": "throttle"},
                "map": {"url": "http://127.0.0.1/", "attribution": "a"},
            },
            "logging": {"level": "ERROR"},
            "metadata": {
                "identification": {**identification, "terms_of_service": "t", "url": "http://127.0.0.1/"},
                "license": LINK,
                "provider": LINK,
                "contact": LINK,
            },
            "resources": resources,
        }
        (folder / "pygeoapi.yml").write_text(json.dumps(config))  # JSON is YAML
        environ = {
            **debian.environ,
            "PYGEOAPI_CONFIG": str(folder / "pygeoapi.yml"),
            "PYGEOAPI_OPENAPI": str(folder / "openapi.json"),
            "SPATIALITE_LIBRARY_PATH": "mod_spatialite.so",
        }
        make = ["openapi", "generate", environ["PYGEOAPI_CONFIG"], "--format", "json"]
        program = [str(interpreter.parent / "pygeoapi"), *make, "--output-file", environ["PYGEOAPI_OPENAPI"]]
        subprocess.run(program, env=environ, check=True, capture_output=True, timeout=120)
        command = [str(interpreter), "-m", "gunicorn", "--no-control-socket", "pygeoapi.flask_app:APP"]
        with _running(command, listening, environ, folder):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def tipg(folder: Path, database: str) -> Iterator[str]:
    """tipg over the tables of a database; more than 1,000 rows a page are refused."""
    interpreter = install.tipg()
    with _listening() as (listening, port):
        environ = {**os.environ, "DATABASE_URL": database, "TIPG_MAX_FEATURES_PER_QUERY": "1000"}
        command = [str(interpreter), "-m", "uvicorn", "--fd", "3", "tipg.main:app"]
        with _running(command, listening, environ, folder):
            yield f"http://127.0.0.1:{port}"


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening, listening.getsockname()[1]


@contextmanager
def _running(
    command: Sequence[str], listening: socket.socket, environ: Mapping[str, str], folder: Path
) -> Iterator[None]:
    """The server, in a group of its own, until the block ends."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        server = subprocess.Popen(
            ["sh", "-c", HAND_OVER, "sh", *command],
            env=dict(environ),
            stdin=listening,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
        listening.close()  # else who asks a server that has died would wait for ever
        try:
            yield
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
