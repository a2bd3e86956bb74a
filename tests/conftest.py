"""Fixtures of several rooms."""

from __future__ import annotations

from lab.fixtures import another, converted, lab, linux_host, programs, rpi4, user

__all__ = ["another", "converted", "lab", "linux_host", "programs", "rpi4", "user"]
