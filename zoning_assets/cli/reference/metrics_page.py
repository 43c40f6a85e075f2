"""docs/reference/metrics.md: every metric that `zoning metrics` reports."""

from zoning_assets.cli.metrics import StatusCollector
from zoning_assets.cli.reference.markdown_table import GENERATED, table

_HEAD = f"""# Metrics

{GENERATED}

`zoning metrics` prints these in the Prometheus text format. `zoning up` serves them at
`http://127.0.0.1:9464/metrics`, and `zoning metrics --port 9464` serves them alone. Each number is read from the
database when it is requested. Set alarms on `zoning_needs > 0` and `zoning_up == 0`.
"""


def markdown(url: str) -> str:
    """One row a metric, in the order in which they are reported; `url` is that of a database with the newest schema."""
    families = StatusCollector(url).collect()
    rows = [(f"`{_name(each)}`", each.type, _labels(each), each.documentation) for each in families]
    return f"{_HEAD}\n{table(('metric', 'type', 'labels', 'meaning'), rows)}\n"


def _name(family: object) -> str:
    name = str(vars(family)["name"])
    return f"{name}_total" if vars(family)["type"] == "counter" else name


def _labels(family: object) -> str:
    """The names of its labels; a family without a sample has no public way to name them."""
    return ", ".join(f"`{label}`" for label in vars(family)["_labelnames"])
