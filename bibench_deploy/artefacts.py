"""Verified artefacts are written: with the manifest, and the rows that verify them on a device."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from bibench_deploy.converters.check_rows import CheckRows, check_path, described, pack
from bibench_deploy.converters.engine import Emitted, Engine, TensorView
from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor, manifest_path
from bibench_deploy.converters.verification import Verification
from bibench_deploy.errors import VerificationError
from bibench_deploy.files import write_together


@dataclass(frozen=True)
class Artefact:
    """A verified artefact on disk, with what is known of it."""

    path: Path
    manifest: Manifest
    verification: Verification


def keep(
    path: Path,
    engine: Engine,
    source: SourceModel,
    variant: str,
    emitted: Emitted,
    verification: Verification,
    changes: tuple[str, ...] = (),
    remedy: str = "please report it with the model: this is a bug of the converter",
    check: CheckRows | None = None,
) -> Artefact:
    """Write a verified artefact, its manifest and the rows that verify it on a device.

    Args:
        remedy: what to do if it is not verified.

    Raises:
        VerificationError: it is not verified; nothing is written.
        OutputPathError, StorageError: it can't be written.
    """
    if not verification.ok:
        raise VerificationError(
            f"{verification.problem}; nothing was written",
            where=f"{source.file} for {engine.name}",
            remedy=remedy,
        )
    manifest = _manifest(engine, source, emitted, variant, path.name, changes, verification)
    files = {path: emitted.data}
    if check is not None:
        names = [[view.name for view in views] for views in (emitted.inputs, emitted.outputs)]
        files[check_path(path)] = rows = pack(check, *names)
        manifest = manifest.model_copy(update={"check": described(rows, check)})
    files[manifest_path(path)] = (manifest.model_dump_json(indent=2) + "\n").encode()
    write_together(files)
    return Artefact(path, manifest, verification)


def _manifest(
    engine: Engine,
    source: SourceModel,
    emitted: Emitted,
    variant: str,
    file: str,
    changes: tuple[str, ...],
    verification: Verification,
) -> Manifest:
    tool = {"bibench-deploy": version("bibench-deploy"), "python": platform.python_version()}
    tool |= {name: version(name) for name in ("onnx", "onnxruntime")}
    return Manifest(
        engine=engine.name,
        model=Path(source.file).stem,
        variant=variant,
        file=file,
        sha256=hashlib.sha256(emitted.data).hexdigest(),
        size_bytes=len(emitted.data),
        source=source,
        inputs=[_tensor(view) for view in emitted.inputs],
        outputs=[_tensor(view) for view in emitted.outputs],
        binary_ops=emitted.binary_ops,
        binary_layers=verification.binary_layers,
        versions=tool | engine.versions(),
        forms=dict(emitted.forms),
        changes=[*changes, *emitted.changes],
        verified=verification.ok,
        verification=verification.as_json(),
    )


def _tensor(view: TensorView) -> Tensor:
    return Tensor(
        name=view.name,
        shape=list(view.shape),
        artefact_shape=list(view.artefact_shape),
        perm=list(view.perm),
        flip=list(view.flip),
    )
