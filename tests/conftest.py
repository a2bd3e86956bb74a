"""Fixtures of several rooms."""

from __future__ import annotations

from lab.fixtures import lab, linux_host, rpi4

__all__ = ["lab", "linux_host", "rpi4"]
