"""The six evaluation tracks of BiBench (Qin et al., ICML 2023, section 3) over tidy tables.

``tables`` reads the tables, ``metrics`` holds one pure function a track, ``scores`` puts them in the order of
the paper's Tables 2 and 3, ``published`` does so with the paper's own raw data beside its printed values, and
``complexity`` counts parameters and operations.
"""

from .scores import Score, scores
from .tables import Tables, read_tables

__all__ = ["Score", "Tables", "read_tables", "scores"]
