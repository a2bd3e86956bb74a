"""Fixtures of several rooms."""

from __future__ import annotations

from lab.fixtures import converted, lab, linux_host, rpi4, user

__all__ = ["converted", "lab", "linux_host", "rpi4", "user"]
