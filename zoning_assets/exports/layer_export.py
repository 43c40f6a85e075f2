"""Export a layer of a jurisdiction: read it, write a file aside, prove the file, publish it with a description.

Nothing is written if the published file already has the same rows. Only one process at a time writes a target.
"""

import errno
import hashlib
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from zoning_assets.errors import Defect, NothingFound, SettingInvalid, ZoningError, machine_error
from zoning_assets.exports import row_reader
from zoning_assets.exports.export_target import ExportTarget, open_target, sha256
from zoning_assets.exports.formats import FORMATS, ExportFormat
from zoning_assets.exports.row_reader import ExportRequest, RowStream, RowSummary
from zoning_assets.model import CHANGES, Jurisdiction
from zoning_assets.redaction import scrubbed
from zoning_assets.storage.postgis.database import open_connection
from zoning_assets.storage.postgis.sessions import translated_errors

_LOCK = "SELECT pg_advisory_lock(hashtextextended(%s, 16))"
#: Sums of the same numbers in another order differ by rounding.
_PRECISION = 1e-9
#: With fewer free bytes the disk is full.
_LEAST_FREE = 1 << 20
#: An existing file with these values need not be written again.
_COMPARED = ("content_hash", "format", "format_version", "name", "source", "licence")


@dataclass(frozen=True)
class ExportPlace:
    """Where exports are written: `to` as of `--to` (None: the default folder below `home`)."""

    home: Path
    to: str | None = None

    def target(self, request: ExportRequest, format_: str) -> ExportTarget:
        """The target of an export."""
        suffix = _format(format_).suffix
        folder = self.home / "exports" / request.jurisdiction
        return open_target(self.to, folder, f"{_stem(request)}{suffix}", suffix)


@dataclass(frozen=True)
class ExportResult:
    """A published file: its path and its description. `written`: False if it was published before."""

    path: str
    description: dict[str, Any]
    written: bool

    def as_dict(self) -> dict[str, Any]:
        """The report of `zoning export --json`."""
        return {"path": self.path, "written": self.written, **self.description}


def export(
    url: str, request: ExportRequest, format_: str, place: ExportPlace, described: Jurisdiction | None
) -> ExportResult:
    """Export a layer.

    Args:
        url: the database.
        request: which rows.
        format_: a key of FORMATS.
        place: where to.
        described: the jurisdiction's file, for name, source and licence; None: there is none.

    Raises:
        NothingFound: no row of the layer was ever published.
        SettingInvalid: the target cannot be used, or there is no such format.
        MachineRefused, StoreError: reading or writing failed; the published file did not change.
        Defect: the written file does not have the rows of the database; it was not published.
    """
    target, used = place.target(request, format_), _format(format_)
    with _locked(url, target), row_reader.opened(url, request) as rows:
        target.delete_drafts(place.home / "scratch")
        _check_published(rows)
        expected = _expected(rows, format_, described)
        if found := target.published({name: expected[name] for name in _COMPARED}):
            return ExportResult(target.path, found, written=False)
        description = _write(target, used, rows, expected, place.home / "scratch")
    return ExportResult(target.path, description, written=True)


def _format(name: str) -> ExportFormat:
    if name not in FORMATS:
        do = f"choose one of: {', '.join(FORMATS)}"
        raise SettingInvalid(f"{name!r} is not a format of exports", where="format", do=do)
    return FORMATS[name]


def _write(
    target: ExportTarget, format_: ExportFormat, rows: RowStream, expected: dict[str, Any], scratch: Path
) -> dict[str, Any]:
    try:
        with target.draft(scratch) as draft:
            remarks = format_.write(draft, rows)
            _prove(draft, format_, rows)
            written = {
                "sha256": sha256(draft),
                "bytes": draft.stat().st_size,
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
            description = {**expected, **({"remarks": remarks} if remarks else {}), **written}
            target.publish(draft, description)
    except ZoningError:
        raise
    except Exception as error:
        if known := machine_error(_cause(error, target, scratch), target.path):
            raise known from error
        raise
    return description


def _cause(error: Exception, target: ExportTarget, scratch: Path) -> Exception:
    """The error, or that of a full disk, which GDAL does not name."""
    free = shutil.disk_usage(target.folder or scratch.parent).free
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if free < _LEAST_FREE else error


def _prove(draft: Path, format_: ExportFormat, rows: RowStream) -> None:
    expected, found = _countable(rows.summary, format_), format_.contents(draft, rows.request.layer)
    is_equal = (
        found.rows == expected.rows
        and found.shapes in (None, expected.shapes)
        and math.isclose(found.area_m2, expected.area_m2, rel_tol=_PRECISION, abs_tol=1e-3)
    )
    if not is_equal:
        what = (
            f"the file has {found.rows:,} rows, {found.shapes} shapes and {found.area_m2:.4f} m2, the database"
            f" {expected.rows:,}, {expected.shapes:,} and {expected.area_m2:.4f}"
        )
        raise Defect(what, where=f"export of {rows.request.jurisdiction} {draft.name}", do="report it")


def _countable(summary: RowSummary, format_: ExportFormat) -> RowSummary:
    if not format_.only_shapes:
        return summary
    return replace(summary, rows=summary.shapes, area_m2=summary.shapes_area_m2)


def _expected(rows: RowStream, format_: str, described: Jurisdiction | None) -> dict[str, Any]:
    """The part of the description that does not depend on the written file."""
    summary, used = rows.summary, FORMATS[format_]
    feeds = described.feeds.values() if described else ()
    return {
        **rows.request.as_dict(),
        "name": described.name if described else rows.request.jurisdiction,
        "format": format_,
        "format_version": used.version,
        "rows": summary.rows,
        "shapes": summary.shapes,
        "area_m2": round(summary.area_m2, 4),
        "crs": summary.crs,
        "source": {feed.name: scrubbed(feed.url) for feed in feeds},
        "licence": described.licence if described else None,
        "content_hash": summary.content_hash,
    }


def _check_published(rows: RowStream) -> None:
    request = rows.request
    if rows.summary.rows or request.layer.name == CHANGES or request.filter.text or request.as_of:
        return
    raise NothingFound(
        f"it has no published {request.layer.name.replace('_', ' ')}",
        where=request.jurisdiction,
        do=f"run `zoning sync {request.jurisdiction}`, or choose another layer",
    )


def _stem(request: ExportRequest) -> str:
    """JURISDICTION-LAYER, and a digest of the day and the filter if not all current rows are exported."""
    stem = f"{request.jurisdiction}-{request.layer.name}"
    if not (request.as_of or request.filter.text):
        return stem
    digest = hashlib.sha256(repr((request.as_of, request.filter.text)).encode()).hexdigest()[:8]
    return f"{stem}-{digest}"


@contextmanager
def _locked(url: str, target: ExportTarget) -> Iterator[None]:
    """While the block runs, no other process that uses this database writes the target."""
    with translated_errors(url), open_connection(url) as connection:
        connection.autocommit = True
        connection.execute(_LOCK, [target.path])
        yield
