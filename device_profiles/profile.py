"""The schema of a device profile, and how profiles are found.

A profile holds facts that are printed about a board and true for every specimen of it. How one user reaches
his own board (host, key, folders) is no part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bibench_deploy.errors import InputError, did_you_mean

from .reach import Reach
from .toml_data import parse_toml, validated

LOCAL = "local"
#: The table of core types lies among the profiles; see cores.py.
CORES_FILE = "cores.toml"

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$")]


class Cluster(BaseModel):
    """Cores of one kind.

    Attributes:
        core: name of the microarchitecture, as in the table of core types.
        count: how many.
        max_mhz: highest clock, in MHz, as the board is sold; None where it is not known.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    core: str
    count: Annotated[int, Field(gt=0)]
    max_mhz: Annotated[int, Field(gt=0)] | None = None


class DeviceProfile(BaseModel):
    """Facts about one board or chip.

    Attributes:
        id: what ``--device`` takes; the file is named ``<id>.toml``.
        aliases: other names for it.
        published: name in the paper's tables of latencies (``results/published``); None for boards not in it.
        soc: system on chip.
        arch: as ``uname -m`` prints it.
        os: system that such boards usually run.
        clusters: fastest first; empty for a generic profile, which stands for many.
        isa: extensions beyond those of its core types (``cores.features`` joins both), as cpuinfo spells them.
        memory_mib: RAM in MiB; several where the board is sold so; empty for a generic profile.
        threads: thread counts that a sweep takes by default.
        reach: how such boards usually are reached.
        source: where the facts come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    id: Identifier
    name: str
    aliases: tuple[Identifier, ...] = ()
    published: str | None = None
    soc: str | None = None
    arch: Literal["x86_64", "aarch64", "armv7l"]
    os: str | None = None
    clusters: tuple[Cluster, ...] = ()
    isa: tuple[str, ...] = ()
    memory_mib: tuple[Annotated[int, Field(gt=0)], ...] = ()
    threads: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (1,)
    reach: Reach = Reach()
    source: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _fastest_first(self) -> DeviceProfile:
        clocks = [cluster.max_mhz for cluster in self.clusters if cluster.max_mhz is not None]
        if clocks != sorted(clocks, reverse=True):
            raise ValueError("clusters: the fastest comes first")
        return self

    @property
    def cores(self) -> int | None:
        """Number of cores; None for a generic profile."""
        return sum(cluster.count for cluster in self.clusters) if self.clusters else None


def load_profiles(folders: Iterable[Path] = ()) -> dict[str, DeviceProfile]:
    """The built-in profiles and those of the user's folders, by id; a user's profile replaces a built-in one.

    Raises:
        InputError: a folder is missing, or a file is not a valid profile.
    """
    profiles: dict[str, DeviceProfile] = {}
    for folder in (files(__package__), *folders):
        if not folder.is_dir():
            raise InputError(
                "there is no such folder of device profiles",
                where=str(folder),
                remedy="give --profiles a folder that holds <id>.toml files",
            )
        found = (entry for entry in folder.iterdir() if _is_profile(entry.name))
        profiles.update((p.id, p) for p in map(_read, sorted(found, key=lambda entry: entry.name)))
    return profiles


def profile_names(profiles: Mapping[str, DeviceProfile]) -> dict[str, DeviceProfile]:
    """Profiles by every name they have; an id goes before another profile's alias."""
    by_alias = {alias: profile for profile in profiles.values() for alias in profile.aliases}
    return by_alias | dict(profiles)


def find_profile(
    name: str, profiles: Mapping[str, DeviceProfile], *, where: str | None = None
) -> DeviceProfile:
    """The profile with this id or alias.

    Args:
        where: what asks for it, for the message.

    Raises:
        InputError: there is none; lists those that there are.
    """
    found = profile_names(profiles).get(name)
    if found is not None:
        return found
    meant = did_you_mean(name, profile_names(profiles))
    raise InputError(
        f"unknown device profile '{name}'",
        where=where,
        remedy=f"{meant}choose one of: {', '.join(sorted(profiles))}; "
        "or give a folder with a TOML file of your own with --profiles",
    )


def _is_profile(name: str) -> bool:
    return name.endswith(".toml") and name != CORES_FILE


def _read(file: Traversable) -> DeviceProfile:
    where = str(file)
    profile = validated(
        DeviceProfile,
        parse_toml(file.read_bytes(), where),
        what="device profile",
        where=where,
        remedy="compare it with the built-in profiles",
    )
    if file.name != f"{profile.id}.toml":
        raise InputError(
            f"the profile '{profile.id}' lies in a file of another name",
            where=str(file),
            remedy=f"name the file {profile.id}.toml",
        )
    if profile.id == LOCAL or LOCAL in profile.aliases:
        raise InputError(f"'{LOCAL}' always is this machine", where=str(file), remedy="choose another id")
    return profile
