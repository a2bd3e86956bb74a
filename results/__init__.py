"""The store of measurements, and the paper's published tables."""

from .row import Row
from .store import Contents, DamagedLine, Store

__all__ = ["Contents", "DamagedLine", "Row", "Store"]
