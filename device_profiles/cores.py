"""Core types: what is true of a core on whichever board it sits, and the most binary work that it can do.

The inner loop of a binary convolution on NEON takes three operations for 128 binary multiply-accumulates: EOR (the
XNOR), CNT (the popcount of bytes) and an addition to the sums. Larq's kernel has exactly this mix: 96 operations
for 4096 multiply-accumulates (LCE, ``kernel_8x4x4_aarch64.h``). So a core that starts ``vector_ops`` of them in a
cycle can't do more than ``vector_ops · 128 / 3`` multiply-accumulates in it: its popcount ceiling.

CNT may start less often than the others (on a Cortex-A72 once a cycle). It is a third of the mix: that lowers the
ceiling only where it starts less than ``vector_ops / 3`` times a cycle: no such core is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .profile import CORES_FILE, DeviceProfile
from .toml_data import parse_toml, validated

MACS_OF_A_VECTOR = 128
OPERATIONS_OF_A_VECTOR = 3

#: Implementer and part of the register MIDR, as ``0x41:0xd08``.
MidrId = Annotated[str, Field(pattern=r"^0x[0-9a-f]{2}:0x[0-9a-f]{3}$")]


class CoreType(BaseModel):
    """One kind of core.

    Attributes:
        midr: ``implementer:part`` of every licensee's version; empty where none is known.
        isa: extensions that all of them have, as the kernel's cpuinfo spells them.
        vector_ops: 128-bit SIMD operations (EOR, CNT, ADD) that can start in a cycle; None where not known.
        source: where ``vector_ops`` is known from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    midr: tuple[MidrId, ...] = ()
    isa: tuple[str, ...] = ()
    vector_ops: Annotated[float, Field(gt=0)] | None = None
    source: str = ""

    @model_validator(mode="after")
    def _sourced(self) -> CoreType:
        if self.vector_ops is not None and not self.source:
            raise ValueError("vector_ops needs a source")
        return self

    @property
    def popcount_ceiling(self) -> float | None:
        """Binary multiply-accumulates in a cycle that can't be passed; None where not known."""
        if self.vector_ops is None:
            return None
        return self.vector_ops * MACS_OF_A_VECTOR / OPERATIONS_OF_A_VECTOR


class _CoreFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1]
    cores: dict[str, CoreType]


def load_cores(folders: Iterable[Path] = ()) -> dict[str, CoreType]:
    """The built-in core types and those of the user's folders (``cores.toml``), by name.

    Raises:
        InputError: a file is not a valid table of cores.
    """
    cores: dict[str, CoreType] = {}
    for folder in (files(__package__), *folders):
        file = folder / CORES_FILE
        if file.is_file():
            document = parse_toml(file.read_bytes(), str(file))
            remedy = "compare it with the built-in table"
            cores |= validated(
                _CoreFile, document, what="table of core types", where=str(file), remedy=remedy
            ).cores
    return cores


def core_name(midr: str, cores: Mapping[str, CoreType]) -> str | None:
    """The core type with this ``implementer:part``; None where the table has none."""
    return next((name for name, core in cores.items() if midr in core.midr), None)


def features(profile: DeviceProfile, cores: Mapping[str, CoreType]) -> frozenset[str]:
    """Extensions that every core of a board has, as the kernel's cpuinfo spells them; core types not in the table
    promise none."""
    of_clusters = [
        frozenset(cores[cluster.core].isa if cluster.core in cores else ()) for cluster in profile.clusters
    ]
    common = frozenset.intersection(*of_clusters) if of_clusters else frozenset()
    return common | frozenset(profile.isa)


def cluster_ceiling(core: str, max_mhz: int | None, cores: Mapping[str, CoreType]) -> float | None:
    """Binary multiply-accumulates in a second that one core of a cluster can't pass, in 10⁹; None where unknown."""
    per_cycle = cores[core].popcount_ceiling if core in cores else None
    return None if per_cycle is None or max_mhz is None else per_cycle * max_mhz / 1000
