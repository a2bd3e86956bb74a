"""The script of one step of an engine, as it is sent to a device: its variables, its cores, its empty folder."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping, Sequence

from .engine import Script

# The folder for what a step writes lives as long as the step; one that was left (a device that was switched off)
# goes before the next, since nobody else of this account can be here: the lease is ours.
_IN_SCRATCH = """
for left in "$work"/scratch-*; do rm -rf "$left"; done
mkdir "$scratch" || exit 1
(
{text}
)
ended=$?
rm -rf "$scratch"
exit "$ended"
"""

# The shell that runs the step is pinned; what it starts inherits it. "$$" would be the outermost shell's number.
_PINNED = """
self=$(exec sh -c 'echo "$PPID"')
taskset -p {mask:x} "$self" >/dev/null || exit {failed}
"""
#: Ends a step that could not be pinned: no engine and no shell ends so.
PIN_FAILED = 97


def step_script(script: Script, files: Mapping[str, str], cpus: Sequence[int], work: str | None) -> str:
    """An engine's script with all that it reads.

    Args:
        files: further variables: paths on the device.
        cpus: cores that it is pinned to; none: it may use all.
        work: the device's work folder, for a script that wants an empty folder, ``$scratch``; None for others.
    """
    paths, text = dict(files), script.text
    if work is not None:
        paths["work"] = work
        paths["scratch"] = f"{work}/scratch-{secrets.token_hex(8)}"
        text = _IN_SCRATCH.replace("{text}", text)
    pinned = _PINNED.format(mask=sum(1 << cpu for cpu in cpus), failed=PIN_FAILED)
    return "".join(
        [
            *(f"{name}={shlex.quote(str(value))}\n" for name, value in script.variables.items()),
            *(f"{name}={_absolute(path)}\n" for name, path in paths.items()),
            pinned if cpus else "",
            text,
        ]
    )


def _absolute(path: str) -> str:
    """A path on the device as a shell's word; scripts start in the home folder, which relative ones mean."""
    return shlex.quote(path) if path.startswith("/") else f'"$PWD"/{shlex.quote(path)}'
