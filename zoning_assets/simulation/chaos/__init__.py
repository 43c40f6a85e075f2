"""A portal that lies: seeded, named faults between a request and the simulated portal's true answer.

What belongs here: faults, each a function from a request and the true answer to what is sent instead, and what a
correct client must make of it. What does not: any knowledge of our own client; a fault is what a server does.
"""

from zoning_assets.simulation.chaos.chaos import Chaos
from zoning_assets.simulation.chaos.faults import FATAL, FAULTS, PASSING, PROVABLE, Fault, mixtures
from zoning_assets.simulation.chaos.said import Asked, Reply

__all__ = ["FATAL", "FAULTS", "PASSING", "PROVABLE", "Asked", "Chaos", "Fault", "Reply", "mixtures"]
