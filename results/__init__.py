"""The store of measurements, and the paper's published tables."""

from .jsonlines import Contents, Damaged
from .row import Row
from .selection import Selection
from .store import STORE_VARIABLE, Store, choose_store
from .stored_rows import Appended

__all__ = [
    "STORE_VARIABLE",
    "Appended",
    "Contents",
    "Damaged",
    "Row",
    "Selection",
    "Store",
    "choose_store",
]
