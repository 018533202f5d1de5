"""A B2B team's CRM that never existed: an export as a customer would hand it over and, apart from it, the exact truth.

The people buy by a Markov chain whose win probabilities have a closed form (`chain`), so a model can be compared with
the best that anyone could have known. Nothing here is a real person, company, address or telephone number.
"""

from data.simulator.run import SimulationReport, simulate

__all__ = ["SimulationReport", "simulate"]
