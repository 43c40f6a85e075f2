"""Faults of portals: named and seeded changes of the simulated portal's responses.

What belongs here: faults, each a function from a request and the correct response to the response that is sent instead,
and the results that a correct client may have. What does not: any knowledge of our own client; a fault is what a server
does.
"""

from zoning_assets.simulation.chaos.chaos import Chaos
from zoning_assets.simulation.chaos.exchange import Reply, ServiceRequest
from zoning_assets.simulation.chaos.faults import FATAL, FAULTS, PASSING, PROVABLE, Fault, mixtures

__all__ = ["FATAL", "FAULTS", "PASSING", "PROVABLE", "Chaos", "Fault", "Reply", "ServiceRequest", "mixtures"]
