"""The manifest: what is known of an artefact, as JSON beside it (``<artefact>.json``)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bibench_deploy.errors import ArtefactError

SUFFIX = ".json"


class Tensor(BaseModel):
    """One input or output; see ``converters.engine.TensorView``."""

    model_config = ConfigDict(extra="forbid")
    name: str
    shape: list[int]
    artefact_shape: list[int]
    perm: list[int] = []
    flip: list[int] = []


class SourceModel(BaseModel):
    """The model that an artefact was made from."""

    file: str
    sha256: str
    metadata: dict[str, str] = {}


class CheckFile(BaseModel):
    """The rows beside an artefact that verify it on a device; see ``converters.check_rows``.

    Attributes:
        rows: how many.
    """

    model_config = ConfigDict(extra="forbid")
    sha256: str
    rows: int


class Manifest(BaseModel):
    """Everything known of one artefact.

    Attributes:
        variant: "fp32" for a twin, else the algorithm that the model amounts to.
        binary_ops: binary operators counted in the artefact.
        verification: what ``convert`` measured against onnxruntime; None for an artefact taken from elsewhere.
        changes: changes of function that were allowed by the user.
        check: rows to verify it with on a device; None for an artefact without (a Keras model's, an older one).
    """

    model_config = ConfigDict(extra="forbid")
    format: Literal[1] = 1
    engine: str
    model: str
    variant: str
    file: str
    sha256: str
    size_bytes: int
    source: SourceModel
    inputs: list[Tensor]
    outputs: list[Tensor]
    binary_ops: int
    binary_layers: int
    versions: dict[str, str]
    forms: dict[str, str] = {}
    changes: list[str] = []
    verified: bool = False
    verification: dict[str, Any] | None = Field(default=None)
    check: CheckFile | None = None


def manifest_path(artefact: Path) -> Path:
    """Where the manifest of an artefact lies."""
    return artefact.with_name(artefact.name + SUFFIX)


def read_manifest(artefact: Path) -> Manifest:
    """The manifest of an artefact, checked against the artefact's bytes.

    Raises:
        ArtefactError: artefact or manifest missing, damaged, of a newer format, or not of each other.
    """
    path = manifest_path(artefact)
    if not artefact.is_file():
        raise ArtefactError(
            "there is no such file",
            where=str(artefact),
            remedy="check the path, or make the artefact with 'bibench-deploy convert'",
        )
    if not path.is_file():
        converts = f"convert it: bibench-deploy convert {artefact}"
        raise ArtefactError(
            f"not an artefact: there is no manifest ({path.name}) beside it",
            where=str(artefact),
            remedy=converts
            if artefact.suffix == ".onnx"
            else "copy its manifest along, or convert the model again",
        )
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtefactError(
            f"not a manifest of this tool ({'.'.join(map(str, first['loc']))}: {first['msg']})",
            where=str(path),
            remedy="convert the model again",
        ) from error
    if hashlib.sha256(artefact.read_bytes()).hexdigest() != manifest.sha256:
        raise ArtefactError(
            "its sha256 is not the one in its manifest: the file is damaged or was replaced",
            where=str(artefact),
            remedy="convert the model again",
        )
    return manifest
