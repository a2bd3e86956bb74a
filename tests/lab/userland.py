"""The programs of a simulated AArch64 device: Debian's own busybox and C library, fetched once and kept."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import platformdirs

from .machine import QEMU, CannotSimulateError

PACKAGES = ("busybox", "libc6")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))

# Where programs of the host have to be put into a device's root: the server, and the libraries it is linked with.
HOST_LIBRARIES = "usr/lib/x86_64-linux-gnu"
MOUNT_POINTS = ("dev", "etc", "home", "proc", "run", "sys", "tmp", "var")
# A private apt: the host's dpkg learns nothing of it.
APT_CONF = """
APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }}; APT::Sandbox::User "";
Dir::Etc "{apt}/etc"; Dir::State "{apt}"; Dir::State::Lists "{apt}/lists"; Dir::State::status "{apt}/status";
Dir::Cache "{apt}/cache"; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
Dir::Etc::Trusted "/etc/apt/trusted.gpg"; Dir::Etc::TrustedParts "/etc/apt/trusted.gpg.d";
Acquire::Languages "none"; Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
"""


def aarch64_userland() -> Path:
    """Folder with ``bin/busybox``, a link per applet, and ``lib/``: made by the first call (5 s, 3 MB).

    Raises:
        CannotSimulateError: apt has no source of Debian packages, or could not reach it.
    """
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
    folder = Path(platformdirs.user_cache_dir("bibench-deploy")) / "lab" / f"aarch64-{recipe}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes start at the same time
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                _make(Path(scratch) / "root", Path(scratch))
                (Path(scratch) / "root").rename(folder)
    return folder


def _make(root: Path, scratch: Path) -> None:
    for package in _fetch(scratch):
        _call(["dpkg-deb", "-x", str(package), str(root)])
    shutil.rmtree(root / "usr/share")
    shutil.rmtree(root / "usr/lib/aarch64-linux-gnu", ignore_errors=True)  # gconv, audit: not wanted
    listed = _call([QEMU, "-L", str(root), str(root / "bin/busybox"), "--list"])
    for applet in listed.split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    for folder in (*MOUNT_POINTS, HOST_LIBRARIES, "lib64", "usr/sbin"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "usr/sbin/sshd").touch()
    (root / "usr/bin").symlink_to("../bin")
    (root / "sbin").symlink_to("bin")


def _fetch(scratch: Path) -> list[Path]:
    sources = [path for path in SOURCES if path.exists() and path.read_text().strip()]
    if not sources:
        raise CannotSimulateError(f"needs a source of Debian packages: {' or '.join(map(str, SOURCES))}")
    apt, debs = scratch / "apt", scratch / "debs"
    parts = ("sources.list.d", "preferences.d", "apt.conf.d")
    for folder in ("lists/partial", "cache/archives/partial", *(f"etc/{part}" for part in parts)):
        (apt / folder).mkdir(parents=True)
    debs.mkdir()
    (apt / "status").touch()
    source = sources[0]
    shutil.copy(source, apt / ("etc/sources.list.d" if source.suffix == ".sources" else "etc") / source.name)
    (apt / "apt.conf").write_text(APT_CONF.format(apt=apt))
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf")}
    _call(["apt-get", "-qq", "update"], env=environment)
    _call(["apt-get", "-qq", "download", *PACKAGES], env=environment, cwd=debs)
    return sorted(debs.glob("*.deb"))


def _call(command: list[str], env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode != 0:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise CannotSimulateError(f"needs an AArch64 userland, and {' '.join(command[:3])} says: {said}")
    return done.stdout
