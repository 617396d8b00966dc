"""Plans of fuzarr, driven from Python.

This is the foreign executor in its smallest form: Python awaits a store's bytes, Rust plans,
decodes, scatters and encodes.
"""

from ._foreign import read, write
from ._fuzarr import Machine, ReadPlan, WritePlan

__all__ = ["Machine", "ReadPlan", "WritePlan", "read", "write"]
