"""The table `layer_styles` of a GeoPackage, from which QGIS takes the style of a layer.

A style names only fixed categories (zone types, kinds of changes), never a text of a portal.
"""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyogrio.raw

from zoning_assets.exports.layers import ExportLayer
from zoning_assets.model import CHANGE_KINDS, ZONE_TYPES
from zoning_assets.transform.map_colors import type_color

#: Colours of kinds of changes, of the palette of Okabe and Ito (map_colors.py); grey: no value.
_SKY, _RED, _PURPLE, _GREY = "#56B4E9", "#D55E00", "#CC79A7", type_color(None)
_OF_PARCELS = ("renumbered", "split", "merged", "replatted", "adjusted", "reshaped", "added", "retired")
_COLOURS: Mapping[str, Mapping[str, str]] = {
    "zone_type": {zone_type: type_color(zone_type) for zone_type in ZONE_TYPES},
    "kind": {
        kind: _SKY if kind in _OF_PARCELS else _PURPLE if kind.startswith(("overlay", "condition", "pud")) else _RED
        for kind in CHANGE_KINDS
    },
}
_NAMES = (
    "f_table_catalog", "f_table_schema", "f_table_name", "f_geometry_column", "styleName", "styleQML", "styleSLD",
    "useAsDefault", "description", "owner", "ui", "update_time",
)  # fmt: skip


def add(path: Path, layer: ExportLayer) -> None:
    """Add the style of a layer to its GeoPackage."""
    values = ("", "", layer.name, "geom", layer.name, qml(layer), "", True, "", "", None, None)
    types = [pa.bool_() if name == "useAsDefault" else pa.string() for name in _NAMES]
    table = pa.table([pa.array([value], kind) for value, kind in zip(values, types, strict=True)], names=list(_NAMES))
    pyogrio.raw.write_arrow(table, path, layer="layer_styles", driver="GPKG", append=True, layer_options={"FID": "id"})


def qml(layer: ExportLayer) -> str:
    """The style in the format of QGIS."""
    top = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    colours = _COLOURS.get(layer.colour_by or "", {})
    kind = "categorizedSymbol" if colours else "singleSymbol"
    renderer = ET.SubElement(top, "renderer-v2", type=kind, symbollevels="0", forceraster="0", enableorderby="0")
    symbols = ET.Element("symbols")
    if colours:
        renderer.set("attr", layer.colour_by or "")
        categories = ET.SubElement(renderer, "categories")
        for number, (value, label, colour) in enumerate(
            [*((n, n, c) for n, c in colours.items()), ("", "none", _GREY)]
        ):
            ET.SubElement(categories, "category", value=value, label=label, symbol=str(number), render="true")
            _add_symbol(symbols, str(number), colour)
    else:
        _add_symbol(symbols, "0", _GREY)
    renderer.append(symbols)
    return ET.tostring(top, encoding="unicode")


def _add_symbol(symbols: ET.Element, name: str, colour: str) -> None:
    symbol = ET.SubElement(symbols, "symbol", type="fill", name=name, alpha="0.8", clip_to_extent="1", force_rhr="0")
    layer = ET.SubElement(symbol, "layer", {"class": "SimpleFill"}, enabled="1", locked="0")
    layer.set("pass", "0")
    options = ET.SubElement(layer, "Option", type="Map")
    look = {"color": _rgba(colour), "style": "solid", "outline_color": "80,80,80,255", "outline_width": "0.1"}
    for key, value in look.items():
        ET.SubElement(options, "Option", name=key, type="QString", value=value)


def _rgba(colour: str) -> str:
    """#RRGGBB as QGIS writes it: red, green, blue, opacity."""
    return ",".join(map(str, (*bytes.fromhex(colour[1:]), 255)))
