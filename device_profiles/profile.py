"""The schema of a device profile, and how profiles are found.

A profile holds facts that are printed about a board and true for every specimen of it. How one user reaches
his own board (host, key, folders) is no part of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bibench_deploy.errors import InputError

LOCAL = "local"

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._+-]*$")]


class Cluster(BaseModel):
    """Cores of one kind.

    Attributes:
        core: name of the microarchitecture.
        count: how many.
        max_mhz: highest clock, in MHz, as the board is sold.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    core: str
    count: Annotated[int, Field(gt=0)]
    max_mhz: Annotated[int, Field(gt=0)]


class DeviceProfile(BaseModel):
    """Facts about one board or chip.

    Attributes:
        id: what ``--device`` takes; the file is named ``<id>.toml``.
        aliases: other names for it.
        soc: system on chip.
        arch: as ``uname -m`` prints it.
        clusters: fastest first; empty for a generic profile, which stands for many.
        isa: extensions that matter to a binary kernel, as the kernel's cpuinfo spells them.
        memory_mib: RAM in MiB; several where the board is sold so; empty for a generic profile.
        threads: thread counts that a sweep takes by default.
        source: where the facts come from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    id: Identifier
    name: str
    aliases: tuple[Identifier, ...] = ()
    soc: str | None = None
    arch: Literal["x86_64", "aarch64", "armv7l"]
    clusters: tuple[Cluster, ...] = ()
    isa: tuple[str, ...] = ()
    memory_mib: tuple[Annotated[int, Field(gt=0)], ...] = ()
    threads: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (1,)
    source: Annotated[str, Field(min_length=1)]

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
        found = (entry for entry in folder.iterdir() if entry.name.endswith(".toml"))
        profiles.update((p.id, p) for p in map(_read, sorted(found, key=lambda entry: entry.name)))
    return profiles


def find_profile(name: str, profiles: Mapping[str, DeviceProfile]) -> DeviceProfile:
    """The profile with this id or alias.

    Raises:
        InputError: there is none; lists those that there are.
    """
    for profile in profiles.values():
        if name == profile.id or name in profile.aliases:
            return profile
    known = ", ".join([LOCAL, *sorted(profiles)])
    raise InputError(
        f"unknown device '{name}'",
        remedy=f"choose one of: {known}; or give a folder with a TOML file of your own with --profiles",
    )


def _read(file: Traversable) -> DeviceProfile:
    try:
        profile = DeviceProfile.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(
            f"not a valid device profile ({field}: {first['msg']})",
            where=str(file),
            remedy="compare it with the built-in profiles",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file ({error})", where=str(file), remedy="correct it") from error
    if file.name != f"{profile.id}.toml":
        raise InputError(
            f"the profile '{profile.id}' lies in a file of another name",
            where=str(file),
            remedy=f"name the file {profile.id}.toml",
        )
    if profile.id == LOCAL or LOCAL in profile.aliases:
        raise InputError(f"'{LOCAL}' always is this machine", where=str(file), remedy="choose another id")
    return profile
