"""Colors of zone types and codes that people with color blindness can tell apart.

Source: Okabe and Ito, "Color Universal Design" (2008), for types; Paul Tol, "Colour Schemes" (technical note
SRON/EPS/TN/09-002, 2021), schemes muted and light, for codes. With more codes than colors, colors repeat.
"""

from zoning_assets.model import ZONE_TYPES

_OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7")
_UNKNOWN = "#BBBBBB"
_TOL = (
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#332288", "#AA4499", "#44AA99", "#999933", "#882255",
    "#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00",
)  # fmt: skip


def type_color(zone_type: str | None) -> str:
    """The color of a zone type; None: not declared."""
    return _OKABE_ITO[ZONE_TYPES.index(zone_type)] if zone_type in ZONE_TYPES else _UNKNOWN


def code_color(number: int) -> str:
    """The color of the code with this number, counted from 0 in alphabetical order."""
    return _TOL[number % len(_TOL)]
