"""Choose the layer that is meant among the layers of a file, a folder or a zip; the other content is listed."""

from collections.abc import Sequence

from zoning_assets.errors import FileRefused
from zoning_assets.sources.files import format_detection, shapefile
from zoning_assets.sources.files.file_contents import FileContents, LayerCandidate, Search, bare_name

_MAX_LISTED = 50  # names of content that is not in the chosen layer


def choose(found: FileContents, search: Search) -> LayerCandidate:
    """Choose the layer that is meant.

    Raises:
        FileRefused: there is none, or more than one; the message lists them and the key that chooses.
    """
    candidates = found.candidates
    fitting = found.fitting(search.layer)
    if found.damaged and not (search.layer and fitting):
        raise found.damaged[0]
    if not fitting and not search.layer and len(candidates) == 1 and candidates[0].table:
        return candidates[0]  # a table of points: it is read, and its rows are rejected one by one
    exact = [each for each in fitting if search.layer in (each.layer, each.at)]
    if len(exact or fitting) == 1:
        return (exact or fitting)[0]
    if not candidates:
        raise FileRefused("the file is damaged (it holds no layer)", where=search.where, do=format_detection.AGAIN)
    names = ", ".join(sorted(map(repr, _names(candidates)))[:20])
    layer = search.layer
    which = f"no single layer is called {layer!r}" if layer else f"{len(fitting)} layers may hold polygons"
    raise FileRefused(
        f"{which}; there are: {names}", where=search.where, do="name one as `layer` in the jurisdiction file"
    )


def left_out(found: FileContents, chosen: LayerCandidate) -> tuple[str, ...]:
    """The content that is not in the chosen layer: other files, other layers of its file, other members."""
    others = [name for name in found.files if not _belongs(name, chosen)]
    others += [f"layer {each.layer}" for each in found.candidates if each.at == chosen.at and each != chosen]
    others += [f"member {name}" for name in chosen.members]
    more = len(others) - _MAX_LISTED
    return (*others[:_MAX_LISTED], *([f"and {more:,} more"] if more > 0 else []))


def _belongs(name: str, chosen: LayerCandidate) -> bool:
    """Whether a file is the chosen one, or a side file of a shapefile."""
    if name == chosen.at:
        return True
    stem = bare_name(chosen.at)
    parts = {f"{stem}{suffix}".casefold() for suffix in shapefile.SUFFIXES}
    return chosen.format == format_detection.SHAPEFILE and name.casefold() in parts


def _names(candidates: Sequence[LayerCandidate]) -> list[str]:
    """Names of candidates, each of which identifies one."""
    layers_ = [each.layer for each in candidates]
    return [each.layer if layers_.count(each.layer) == 1 or not each.at else each.at for each in candidates]
