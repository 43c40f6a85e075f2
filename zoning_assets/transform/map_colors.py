"""The colors of zone types and codes, the same in the map, in reports and in QGIS styles.

People with color blindness can tell them apart. Source: Okabe and Ito, "Color Universal Design" (2008), for types; Paul
Tol, "Colour Schemes" (technical note SRON/EPS/TN/09-002, 2021), schemes muted and light, for codes. Colors are #RRGGBB.
"""

from collections.abc import Iterable

from zoning_assets.model import ZONE_TYPES

#: Of Okabe and Ito.
ORANGE, SKY_BLUE, BLUISH_GREEN, VERMILION, REDDISH_PURPLE = "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"
#: Of what has no type, or no code.
GREY = "#BBBBBB"
_TOL = (
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#332288", "#AA4499", "#44AA99", "#999933", "#882255",
    "#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33", "#AAAA00",
)  # fmt: skip
_OF_TYPE = dict(zip(ZONE_TYPES, (ORANGE, SKY_BLUE, BLUISH_GREEN, REDDISH_PURPLE), strict=True))


def type_color(zone_type: str | None) -> str:
    """The color of a zone type; grey: it is not declared."""
    return _OF_TYPE.get(zone_type or "", GREY)


def code_colors(known: Iterable[str], others: Iterable[str] = ()) -> dict[str, str]:
    """The color of each code: by its place in the alphabet, so that it does not depend on the number of parcels.

    Args:
        known: all codes that the jurisdiction has or had. With more codes than colors, colors repeat.
        others: further codes, which do not change the colors of the known ones.
    """
    first = sorted(set(known))
    codes = [*first, *sorted(set(others) - set(first))]
    return {code: _TOL[number % len(_TOL)] for number, code in enumerate(codes)}
