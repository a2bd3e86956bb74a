"""Building ``bibench-run``, the native engine's program, and keeping what was built.

The C++ sources travel in the package (``runners/native``). For this machine the system compiler builds them,
or, where there is none, that in the PyPI package ``ziglang``; for every other target it is always that one,
which links a static program against its own musl (macOS: against libSystem alone).

A program is kept in the cache folder under the hash of its sources and of the command that built it, so
that an upgrade of either builds again and nothing else does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from bibench_deploy.errors import EngineError, InputError, MissingExtraError
from bibench_deploy.files import make_folder, storage_error

PROGRAM = "bibench-run"
SOURCES = "bibench_deploy.runners.native"
HOST = "host"
#: Names a program to be used as it is: a path, or a command such as ``qemu-aarch64-static PATH``.
PROGRAM_VARIABLE = "BIBENCH_RUN"
#: Names the compiler for this machine: a path, or a command such as ``ccache g++``.
COMPILER_VARIABLE = "CXX"

Progress = Callable[[str], None]
COMMON_FLAGS = ("-std=c++17", "-O3", "-ffp-contract=off", "-pthread", "-w")
#: A compilation that takes longer hangs: it takes half a minute on a slow core, the first cross build minutes.
TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Target:
    """What a program is built for.

    Attributes:
        name: as ``--target`` takes it.
        triple: as ``zig c++ -target`` takes it.
        flags: beside the common ones.
        runs_on: in words, for ``engines list``.
    """

    name: str
    triple: str
    flags: tuple[str, ...]
    runs_on: str


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("x86_64-linux", "x86_64-linux-musl", ("-static", "-s"), "any 64-bit x86 Linux"),
        Target(
            "aarch64-linux",
            "aarch64-linux-musl",
            ("-static", "-s"),
            "any 64-bit ARM Linux: Raspberry Pi OS, Android's kernel",
        ),
        Target(
            "armv7-linux",
            "arm-linux-musleabihf",
            ("-static", "-s", "-mcpu=generic+v7a+neon"),
            "32-bit ARM Linux with NEON: old Raspberry Pi OS",
        ),
        Target("aarch64-macos", "aarch64-macos", (), "Apple silicon"),
    )
}


@dataclass(frozen=True)
class Toolchain:
    """A compiler.

    Attributes:
        command: what starts it.
        version: what tells it from another version of itself.
        flags: beside the common ones.
    """

    command: tuple[str, ...]
    version: str
    flags: tuple[str, ...]


def program(progress: Progress = lambda message: None) -> tuple[str, ...]:
    """The command that starts ``bibench-run`` on this machine, built if that was not done before.

    Raises:
        InputError: the variable ``BIBENCH_RUN``, or ``CXX``, names something that can't be started.
        MissingExtraError: there is no compiler.
        EngineError: the compiler failed.
        StorageError, OutputPathError: the cache folder can't be written.
    """
    given = os.environ.get(PROGRAM_VARIABLE)
    if given:
        return _command(PROGRAM_VARIABLE, given, "bibench-run")
    return (str(build(HOST, progress=progress)),)


def build(name: str, folder: Path | None = None, progress: Progress = lambda message: None) -> Path:
    """The program for a target, from the cache or built now.

    Args:
        name: of the target, or "host".
        folder: the cache; the user's by default.
        progress: told before something that takes time.

    Raises:
        InputError: no such target, or the variable ``CXX`` names nothing that can be started.
        MissingExtraError: there is no compiler for it.
        EngineError: the compiler failed.
        StorageError, OutputPathError: the cache folder can't be written.
    """
    chain = toolchain(name)
    sources = source_files()
    path = program_path(name, chain, sources, folder or cache_folder())
    if path.is_file():
        return path
    make_folder(path.parent, "name a folder that can be written in the variable XDG_CACHE_HOME")
    progress(f"building {PROGRAM} for {name} with {chain.version} (once; a first cross build takes minutes)")
    with tempfile.TemporaryDirectory(prefix=".building-", dir=path.parent) as scratch:
        built = Path(scratch) / PROGRAM
        try:
            for file, content in sources.items():
                (Path(scratch) / file).write_bytes(content)
        except OSError as error:
            raise storage_error(error, path) from error
        _compile(chain, Path(scratch), sorted(sources), built)
        try:
            built.chmod(0o755)
            built.replace(path)  # two that build at once: the same program, either may win
        except OSError as error:
            raise storage_error(error, path) from error
    return path


def built(name: str, folder: Path | None = None) -> Path | None:
    """Where the program for a target is, None where it was not built yet (or can't be here)."""
    try:
        chain = toolchain(name)
    except MissingExtraError:
        return None
    path = program_path(name, chain, source_files(), folder or cache_folder())
    return path if path.is_file() else None


def toolchain(name: str) -> Toolchain:
    """What builds for a target on this machine.

    Raises:
        InputError: no such target, or the variable ``CXX`` names nothing that can be started.
        MissingExtraError: there is no compiler for it.
    """
    if name == HOST:
        own = _system_compiler()
        if own is not None:
            return own
        name = host_target() or ""
        if not name:
            raise InputError(
                f"no compiler on this machine ({platform.system()} {platform.machine()}), and ziglang is not "
                "used for it",
                remedy="install a C++ compiler (g++ or clang++), or name one in the variable CXX",
            )
        return _zig(TARGETS[name], "the engine 'native' (there is no C++ compiler on this machine)")
    if name not in TARGETS:
        raise InputError(f"no target '{name}'", remedy=f"choose one of: {', '.join((HOST, *TARGETS))}")
    return _zig(TARGETS[name], f"building for {name}")


def host_target() -> str | None:
    """The target that this machine is; None if it is none of them."""
    machine = {"amd64": "x86_64", "arm64": "aarch64", "armv7l": "armv7"}.get(
        platform.machine().lower(), platform.machine().lower()
    )
    system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
    name = f"{machine}-{system}"
    return name if name in TARGETS else None


def cache_folder() -> Path:
    """The user's cache folder for built programs: XDG_CACHE_HOME where that is set."""
    base = os.environ.get("XDG_CACHE_HOME")
    if base and Path(base).is_absolute():
        return Path(base) / "bibench-deploy" / "engines"
    if platform.system() == "Darwin":
        return Path.home() / "Library" / "Caches" / "bibench-deploy" / "engines"
    return Path.home() / ".cache" / "bibench-deploy" / "engines"


def source_files() -> dict[str, bytes]:
    """The engine's sources: file name → content."""
    return {
        entry.name: entry.read_bytes()
        for entry in files(SOURCES).iterdir()
        if entry.name.endswith((".cc", ".h"))
    }


def program_path(name: str, chain: Toolchain, sources: Mapping[str, bytes], folder: Path) -> Path:
    """Where a program is kept: one folder for everything that could change it."""
    digest = hashlib.sha256()
    for part in (chain.version, *chain.command, *chain.flags, *COMMON_FLAGS):
        digest.update(part.encode() + b"\0")
    for file in sorted(sources):
        digest.update(file.encode() + b"\0" + hashlib.sha256(sources[file]).digest())
    return folder / f"{name}-{digest.hexdigest()[:16]}" / PROGRAM


def _system_compiler() -> Toolchain | None:
    """CXX, or the compiler that is found first; None where there is none."""
    given = os.environ.get(COMPILER_VARIABLE)
    if given:
        command = _command(COMPILER_VARIABLE, given, "a C++17 compiler")
    else:
        found = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
        if found is None:
            return None
        command = (found,)
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineError(f"the compiler can't be started: {error.strerror}", where=command[0]) from error
    first = (said.stdout.splitlines() or [Path(command[0]).name])[0].strip()
    return Toolchain(command, first, ())


def _command(variable: str, text: str, what: str) -> tuple[str, ...]:
    """What a variable of the environment names: a program, and words that belong in front of its own.

    Raises:
        InputError: it can't be started.
    """
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise InputError(
            "names no program that can be started",
            where=f"{variable}={text}",
            remedy=f"unset the variable, or let it name {what}",
        )
    return (found, *words[1:])


def _zig(target: Target, what: str) -> Toolchain:
    if importlib.util.find_spec("ziglang") is None:
        raise MissingExtraError("native", what)
    command = (sys.executable, "-m", "ziglang", "c++")
    return Toolchain(command, f"ziglang {version('ziglang')}", ("-target", target.triple, *target.flags))


def _compile(chain: Toolchain, folder: Path, sources: Sequence[str], program: Path) -> None:
    """One compiler call for everything.

    Raises:
        EngineError: it failed.
    """
    units = [str(folder / name) for name in sources if name.endswith(".cc")]
    command = [*chain.command, *COMMON_FLAGS, *chain.flags, *units, "-o", str(program)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"the compiler gave no result within {TIMEOUT_S:.0f} s", where=chain.version
        ) from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines()
        raise EngineError(
            f"{PROGRAM} could not be built: {said[0].strip() if said else 'the compiler said nothing'}",
            where=chain.version,
            remedy="a C++17 compiler is needed; pip install 'bibench-deploy[native]' brings one",
        )
