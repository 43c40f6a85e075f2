"""The assets `export_*`: a file of each layer per jurisdiction, written again after `changes` was materialized.

The sensor exports_follow evaluates their automation condition. A file whose rows did not change is not written again.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from zoning_assets.defs import retry_policies
from zoning_assets.defs.partitions import asset_key
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.retry_policies import one_line
from zoning_assets.errors import NothingFound
from zoning_assets.jurisdictions.locations import WHOLE, Location

if TYPE_CHECKING:
    from zoning_assets.exports.layer_export import ExportResult

GROUP = "exports"
#: layer -> the assets that its rows are made of, besides `changes`.
_MADE_OF: Mapping[str, tuple[str, ...]] = {
    "parcels": ("parcels",),
    "districts": ("districts",),
    "zoned_parcels": ("parcels", "districts", "parcel_zoning"),
    "changes": (),
}
_SHOWN = ("rows", "shapes", "area_m2", "crs", "content_hash", "sha256", "bytes")


class ExportFiles(dg.Config):
    """What is written."""

    format: str = Field("geoparquet", description="The format, as `zoning export --format` takes it.")
    to: str = Field(
        "",
        description="A folder, s3://, gs:// or az://. Empty: the folder `exports` of ZONING_HOME, or of"
        " ZONING_STORE_URL if that is no folder.",
    )


def export_assets(
    by_jurisdiction: dg.PartitionsDefinition[str], location: Location = WHOLE
) -> list[dg.AssetsDefinition]:
    """Return one asset per layer, with one partition per jurisdiction."""
    return [_asset(layer, by_jurisdiction, location) for layer in _MADE_OF]


def exports_follow() -> dg.AutomationConditionSensorDefinition:
    """Return the sensor that requests exports after `changes` was materialized."""
    return dg.AutomationConditionSensorDefinition(
        "exports_follow",
        target=dg.AssetSelection.groups(GROUP),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Writes the exports of a jurisdiction again after its changes were computed.",
    )


def _asset(layer: str, by_jurisdiction: dg.PartitionsDefinition[str], location: Location) -> dg.AssetsDefinition:
    changes = asset_key("changes", location)

    @dg.asset(
        key=asset_key(f"export_{layer}", location),
        deps=[*(_dep(each, location) for each in _MADE_OF[layer]), changes],
        partitions_def=by_jurisdiction,
        group_name=GROUP,
        kinds={"file"},
        retry_policy=retry_policies.PASSING,
        automation_condition=dg.AutomationCondition.any_deps_updated().allow(dg.AssetSelection.assets(changes)),
        description=f"A file with the {layer.replace('_', ' ')} of a jurisdiction, as `zoning export` writes it.",
    )
    def exported(context: dg.AssetExecutionContext, zoning: Zoning, config: ExportFiles) -> dg.MaterializeResult[None]:
        with one_line():
            return _export(zoning, context.partition_key, layer, config)

    return exported


def _dep(name: str, location: Location) -> dg.AssetDep:
    """The dependency on an asset. `parcels` has a partition per tile."""
    key = asset_key(name, location)
    return dg.AssetDep(key, partition_mapping=dg.AllPartitionMapping() if name == "parcels" else None)


def _export(zoning: Zoning, jurisdiction: str, layer: str, config: ExportFiles) -> dg.MaterializeResult[None]:
    from zoning_assets.exports import layer_export  # noqa: PLC0415 - see defs/__init__
    from zoning_assets.exports.layers import LAYERS  # noqa: PLC0415
    from zoning_assets.exports.row_reader import ExportRequest  # noqa: PLC0415

    place = layer_export.ExportPlace(zoning.settings.home, config.to or zoning.settings.shared_exports(jurisdiction))
    request = ExportRequest(jurisdiction, LAYERS[layer])
    described = zoning.jurisdiction(jurisdiction)
    try:
        result = layer_export.export(zoning.database(), request, config.format, place, described)
    except NothingFound as error:
        return dg.MaterializeResult(metadata={"rows": 0, "why": str(error)})
    return dg.MaterializeResult(
        metadata=_metadata(result), data_version=dg.DataVersion(result.description["content_hash"])
    )


def _metadata(result: "ExportResult") -> dict[str, Any]:
    shown = {name: result.description[name] for name in _SHOWN}
    return {"path": dg.MetadataValue.path(result.path), "written": result.written, **shown}
