"""The programs that the command pushes, built before it needs them."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import platformdirs

from bibench_deploy.runners import native_build

BOARD, HOST = "aarch64-linux", "x86_64-linux"


def cache_with_programs() -> Path:
    """A folder for ``XDG_CACHE_HOME`` that holds ``bibench-run`` for boards and for devices of this architecture.

    That for boards is what users get, from the user's own cache or built there now. For devices of this
    architecture, which have this machine's libraries, it is this machine's own: no second cross build.
    """
    cache = Path(platformdirs.user_cache_dir("bibench-deploy")) / "lab" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes start at the same time
        for target, source in ((BOARD, BOARD), (HOST, native_build.HOST)):
            path = program_path(target, cache)
            if not path.exists():
                put_program(target, native_build.build(source).read_bytes(), cache)
        host = native_build.build(native_build.HOST)
        kept = cache / "bibench-deploy/engines" / host.parent.name
        if not kept.exists():
            shutil.copytree(host.parent, kept)
    return cache


def put_program(target: str, program: bytes, cache: Path) -> None:
    """Let a program be what was built for a target."""
    path = program_path(target, cache)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(program)
    path.chmod(0o755)


def program_path(target: str, cache: Path) -> Path:
    chain, sources = native_build.toolchain(target), native_build.source_files()
    return native_build.program_path(target, chain, sources, cache / "bibench-deploy/engines")
