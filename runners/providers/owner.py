"""By which name this process is known to a lab, and which other processes of this machine have died.

A coordinator knows its clients as ``HOST/USER``, labgrid's own ones by nothing more: two commands of one user on
one machine would release each other's places. So a process of ours adds what makes it unique, and what tells
afterwards whether it still runs.
"""

from __future__ import annotations

import getpass
import hashlib
import itertools
import os
import re
import secrets
import socket
from pathlib import Path

_TOOL = "bibench"
_NAME = re.compile(rf".*/.*\+{_TOOL}-([0-9a-f]{{8}})-(\d+)-(\d+)-\d+$")
_NUMBERS = itertools.count(1)
_PROC = Path("/proc")
#: Of `man 5 proc`, field 22 of /proc/PID/stat, counted from the one behind the program's name (2).
_START_FIELD = 22 - 3


def own_name() -> str:
    """A name that no other client has: ``HOST/USER+bibench-MACHINE-PROCESS-START-NUMBER``.

    Host and user are what labgrid's own client takes, with its variables LG_HOSTNAME and LG_USERNAME.
    """
    host = os.environ.get("LG_HOSTNAME") or socket.gethostname()
    process = os.getpid()
    started = _started(process)
    # Without /proc nobody can tell later whether we live: then no machine is the same.
    machine = secrets.token_hex(4) if started is None else _machine()
    unique = f"{_TOOL}-{machine}-{process}-{started or 0}-{next(_NUMBERS)}"
    return f"{_plain(host)}/{_plain(_user())}+{unique}"


def is_dead(name: str) -> bool:
    """Whether a name is that of a process of this machine which no longer runs; False where that can't be told."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] != _machine():
        return False
    return _started(int(match[2])) != int(match[3])


def _user() -> str:
    try:
        return os.environ.get("LG_USERNAME") or getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return f"uid{os.getuid()}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _machine() -> str:
    """What two processes share whose numbers mean the same: the machine, and on it the space of process numbers."""
    facts = [socket.gethostname(), _read(Path("/etc/machine-id"))]
    try:
        facts.append(os.readlink(_PROC / "self/ns/pid"))
    except OSError:
        facts.append("")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def _started(process: int) -> int | None:
    """When a process was started, in clock ticks since boot; None if there is none, or no /proc."""
    # The program's name stands in parentheses and may hold anything, blanks and parentheses too.
    fields = _read(_PROC / str(process) / "stat").rpartition(")")[2].split()
    return int(fields[_START_FIELD]) if len(fields) > _START_FIELD else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
