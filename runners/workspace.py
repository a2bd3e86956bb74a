"""The artefacts of a workspace: they lie flat in it, each with its manifest beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.converters.manifest import SUFFIX, Manifest, read_manifest
from bibench_deploy.errors import ArtefactError, InputError

DEFAULT_WORKSPACE = Path("bibench-workspace")
WORKSPACE_VARIABLE = "BIBENCH_WORKSPACE"
FULL_PRECISION = "fp32"


@dataclass(frozen=True)
class Artefact:
    """An artefact whose bytes are the ones that its manifest describes."""

    path: Path
    manifest: Manifest


def workspace_folder(chosen: Path | None) -> Path:
    """The folder that a user chose, else that of BIBENCH_WORKSPACE, else ``bibench-workspace`` here."""
    return chosen or Path(os.environ.get(WORKSPACE_VARIABLE) or DEFAULT_WORKSPACE)


def read_artefact(path: Path) -> Artefact:
    """One artefact.

    Raises:
        ArtefactError: artefact or manifest missing, damaged, or not of each other.
    """
    if path.is_file() and path.name.endswith(SUFFIX):
        raise ArtefactError(
            "this is a manifest, not an artefact",
            where=str(path),
            remedy=f"give {path.name.removesuffix(SUFFIX)}",
        )
    return Artefact(path, read_manifest(path))


def read_workspace(folder: Path) -> list[Artefact]:
    """All artefacts of a workspace.

    Raises:
        InputError: no such folder, or no artefact in it.
        ArtefactError: one of them is missing or damaged.
    """
    remedy = "make artefacts with 'bibench-deploy convert', or name one, or choose another --workspace"
    if not folder.is_dir():
        raise InputError("there is no such workspace", where=str(folder), remedy=remedy)
    # A manifest is named <stem>.<engine>.<suffix>.json; a report or the like has fewer dots.
    manifests = sorted(path for path in folder.glob(f"*.*.*{SUFFIX}") if not path.name.startswith("."))
    if not manifests:
        raise InputError("the workspace holds no artefacts", where=str(folder), remedy=remedy)
    return [read_artefact(path.with_name(path.name.removesuffix(SUFFIX))) for path in manifests]


def groups(artefacts: Iterable[Artefact]) -> list[list[Artefact]]:
    """Artefacts that are compared with each other: a model's, full precision first."""
    by_source: dict[str, list[Artefact]] = {}
    for artefact in artefacts:
        by_source.setdefault(artefact.manifest.source.sha256, []).append(artefact)
    found = [sorted(members, key=_order) for members in by_source.values()]
    return sorted(found, key=lambda members: (members[0].manifest.model, str(members[0].path)))


def _order(artefact: Artefact) -> tuple[str, bool, str]:
    manifest = artefact.manifest
    return manifest.engine, manifest.variant != FULL_PRECISION, str(artefact.path)
