"""What an inference library takes: ``capabilities.toml`` in each engine's folder, as validated data.

The columns of BiBench's Table 4 are in ``factors``; everything beside it is what the real library demands
beyond that table. Every number has its source in a comment of the TOML file.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bibench_deploy.errors import InputError
from bibench_deploy.graph import Granularity

from .engine import ENTRY_POINT_GROUP

FILE = "capabilities.toml"
#: Engines of this project, in the order of the paper's Table 4.
BUILT_IN = ("larq", "dabnn", "native")

Status = Literal["available", "check-only", "planned"]
PadHow = Literal["native", "corrected", "explicit", "negated", "border-constant"]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Factors(_Data):
    """Table 4: scaling factors and what is done to activations."""

    granularity: tuple[Granularity, ...]
    form: str
    folds_batch_norm: bool
    activation_rescaling: bool
    mean_shift: bool
    #: Not a column of Table 4: the emitter leaves the stream shifted and takes the shift back in later biases.
    mean_shift_absorbed: bool = False


class Sign(_Data):
    """The library's value for an activation of exactly 0 (natively or by an exact trick)."""

    at_zero: Literal[-1, 1]


class PadForm(_Data):
    """One padding value, in ±1 terms, that is computed exactly, and how.

    Attributes:
        value: None stands for every value without a form of its own.
        note: what that costs; empty where it costs nothing.
        shortcut: a value that would cost nothing, offered through ``--allow padding=``.
    """

    value: float | None = None
    how: PadHow
    note: str = ""
    shortcut: float | None = None


class Direct(_Data):
    """A fast kernel that the library chooses by itself, with demands that it does not check at load."""

    kernel: tuple[int, int]
    in_channels: tuple[int, ...]
    out_channel_multiple: int = 1
    even_width: bool = False
    even_outputs: bool = False
    max_outputs: int | None = None


class Gemm(_Data):
    """Limits of the binary matrix product behind every other convolution; words have 64 bits."""

    max_depth: int
    max_buffer_words: int
    buffer_filter_words: int
    buffer_row_multiple: int


class Binary(_Data):
    """What is demanded of a binary layer."""

    spatial_axes: tuple[int, ...]
    linear_ranks: tuple[int, ...]
    dilation: bool
    symmetric_padding_only: bool
    square_only: bool
    between_sign_and_layer: tuple[str, ...]
    groups: Literal["none", "split", "native"]
    groups_note: str = ""
    padding: tuple[PadForm, ...]
    direct: tuple[Direct, ...] = ()
    widens: bool = (
        False  # the emitter takes inputs twice, or adds dummy filters, where a direct kernel demands it
    )
    signs_are_values: bool = True  # operators other than binary layers may read signs
    gemm: Gemm | None = None

    def pad_form(self, value: float) -> PadForm | None:
        """How a padding value is computed exactly; None where it can't be."""
        own = next((form for form in self.padding if form.value == value), None)
        return own or next((form for form in self.padding if form.value is None), None)


class Conditions(_Data):
    """What is demanded of float operators. The defaults demand nothing."""

    channel_affine: bool = False
    symmetric_padding_only: bool = False
    square_only: bool = False
    dilation: bool = True
    pool_dilation: bool = True
    groups: bool = True
    spatial_axes: tuple[int, ...] = (1, 2, 3)
    floor_pools: bool = False
    count_include_pad: bool = True
    flatten_only: bool = False
    spatial_mean_only: bool = False
    constant_inputs: dict[str, tuple[int, ...]] = {}
    row_multiple: int = 1
    row_operators: tuple[str, ...] = ()
    pool_channel_multiple: int = 1
    concat_inputs: int | None = None
    concat_equal_channels: bool = False
    concat_channel_axis: bool = False


class Operators(_Data):
    """Float operators by ONNX name.

    Attributes:
        taken: those that the engine computes.
        emulated: those of them that become several of the library's.
        remedies: for an operator that is not taken, what to do instead.
    """

    taken: frozenset[str]
    emulated: frozenset[str] = frozenset()
    remedies: dict[str, str] = {}
    conditions: Conditions = Conditions()


class Capabilities(_Data):
    """Everything that ``check`` knows about one engine."""

    engine: str
    title: str
    status: Status
    threads: Literal["any", "one"]
    batch: Literal["any", "one"]
    max_inputs: int
    input_ranks: tuple[int, ...] = ()
    factors: Factors
    sign: Sign
    binary: Binary
    operators: Operators


def parse(text: str, where: str) -> Capabilities:
    """Capabilities from the text of a ``capabilities.toml``.

    Raises:
        InputError: not TOML, or not of this form.
    """
    try:
        return Capabilities.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML: {error}", where=where) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{key}: {first['msg']}", where=where) from error


def _packages() -> dict[str, str]:
    """Engine → package that holds its ``capabilities.toml``; third parties' through the entry points."""
    ours = {name: f"bibench_deploy.converters.{name}" for name in BUILT_IN}
    theirs = {
        point.name: point.module
        for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name)
        if point.name not in ours
    }
    return ours | theirs


def known_engines() -> list[str]:
    """Names of the engines that ``check`` knows: ours, then third parties'."""
    return list(_packages())


def load(engine: str) -> Capabilities:
    """The capabilities of an engine.

    Raises:
        InputError: no such engine, or its file is missing or malformed.
    """
    packages = _packages()
    if engine not in packages:
        raise InputError(f"no engine '{engine}'", remedy=f"choose one of: {', '.join(packages)}")
    where = f"{FILE} of engine '{engine}'"
    resource = files(packages[engine]).joinpath(FILE)
    if not resource.is_file():
        raise InputError("missing", where=where, remedy="the engine's package must hold it beside its code")
    capabilities = parse(resource.read_text(encoding="utf-8"), where)
    if capabilities.engine != engine:
        raise InputError(f"is written for '{capabilities.engine}'", where=where)
    return capabilities
