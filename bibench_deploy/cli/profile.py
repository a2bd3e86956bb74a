"""``bibench-deploy profile``."""

from __future__ import annotations


def profile() -> None:
    """Not written yet."""
    raise NotImplementedError
