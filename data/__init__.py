"""The data contract and everything that brings data under it: mappings, import, checks, the warehouse, the simulator.

No rows of data live in this package.
"""
