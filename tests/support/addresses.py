"""Addresses of this machine's loopback that nothing else uses."""

from __future__ import annotations

import itertools
import os
import socket

_NUMBERS = itertools.count(1)


def own_address() -> tuple[str, int]:
    """An address and a port of it that are this process's: they stay free until they are bound, and after that.

    A port of 127.0.0.1 does not: any connection to there that is made meanwhile may get it as its own.
    """
    number, pid = next(_NUMBERS), os.getpid()
    address = f"127.{100 + pid // 250 % 100}.{pid % 250}.{number % 250 + 1}"
    with socket.socket() as probe:
        probe.bind((address, 0))
        return address, probe.getsockname()[1]
