"""The clause `where` of a WFS feed: a filter in XML, or a text.

WFS 2.0 (ISO 19142) and 1.1 have the parameter `filter` with XML: `fes:Filter` (ISO 19143) or `ogc:Filter` (1.1). They
have no form as text. GeoServer's own parameter `cql_filter` takes CQL; servers without it ignore it, which
WfsClient.check_filter finds out.
"""

import copy

from lxml import etree

from zoning_assets.sources import row_filter
from zoning_assets.transform.decode import xml_limits


def parameter(clause: str) -> str:
    """The parameter that takes the clause."""
    return "filter" if _is_xml(clause) else "cql_filter"


def contradiction(clause: str) -> str:
    """A clause that no row meets: the clause and its opposite.

    Raises:
        ValueError: the clause is XML, but not a filter with one condition.
    """
    if not _is_xml(clause):
        return row_filter.contradiction(clause)
    root = xml_limits.parse(clause.encode())
    if xml_limits.name(root) != "Filter" or len(root) != 1:
        message = "this is not a <Filter> with one condition"
        raise ValueError(message)
    [condition] = root
    namespace = etree.QName(root).namespace
    both, opposite = (etree.Element(etree.QName(namespace, name)) for name in ("And", "Not"))
    opposite.append(copy.deepcopy(condition))
    both.extend([condition, opposite])
    root.append(both)
    return str(etree.tostring(root, encoding="unicode"))


def _is_xml(clause: str) -> bool:
    return clause.lstrip().startswith("<")
