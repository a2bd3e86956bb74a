"""The Python API: the nouns of the command line as functions of typed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bibench_deploy import conversion
from bibench_deploy.converters.capabilities import known_engines, load
from bibench_deploy.converters.deployability import Assessment, assess, parse_allow
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.errors import InputError
from bibench_deploy.graph import BinaryGraph
from bibench_deploy.results import choose_store
from bibench_deploy.results.frame import frame
from bibench_deploy.results.selection import ALL, Selection
from bibench_deploy.runners.arrays import execute, match_inputs
from bibench_deploy.runners.session import open_executable
from bibench_deploy.runners.workspace import workspace_folder

if TYPE_CHECKING:
    import pandas as pd

_ROWS_AT_ONCE = 32


def inspect(model: str | Path) -> BinaryGraph:
    """What was recognised in an ONNX model: its layers, binary or float and why.

    Raises:
        ModelFileError, UnsupportedModelError: the file can't be read or is outside what the tool takes.
    """
    return read(model)


def check(model: str | Path, engines: Sequence[str] = (), allow: Sequence[str] = ()) -> list[Assessment]:
    """Verdict and reasons for every engine, or for those named.

    Args:
        allow: changes of function that are allowed, as ``"sign-zero=+1"``.

    Raises:
        InputError: an unknown engine or change, or a model that can't be read.
    """
    graph, allowed = fuse(read(model)), parse_allow(allow)
    return [assess(graph, load(name), allowed) for name in engines or known_engines()]


def convert(
    model: str | Path,
    folder: str | Path,
    engines: Sequence[str] = (),
    data: str | Path | None = None,
    allow: Sequence[str] = (),
    twin: bool = True,
) -> conversion.Conversion:
    """Verified artefacts for every engine that can take a model; see ``conversion.convert``."""
    return conversion.convert(
        Path(model), Path(folder), engines, Path(data) if data else None, parse_allow(allow), twin
    )


def run(
    artefact: str | Path, inputs: Mapping[str, npt.NDArray[np.generic]], threads: int = 1
) -> dict[str, npt.NDArray[np.generic]]:
    """Outputs of an artefact (or of an ONNX model) for any number of rows, as the ONNX model gives them.

    Args:
        inputs: one array per model input, rows first, NCHW.

    Raises:
        ArtefactError, DataError, EngineError, MissingExtraError: see ``runners.session.open_executable``.
    """
    opened = open_executable(Path(artefact), threads)
    arrays, _ = match_inputs(inputs, opened.specs, "inputs")
    rows = len(next(iter(arrays.values())))
    return execute(opened.run, arrays, opened.batch or min(rows, _ROWS_AT_ONCE))


def results(
    store: str | Path | None = None,
    workspace: str | Path | None = None,
    selection: Selection = ALL,
    samples: bool = False,
) -> pd.DataFrame:
    """What was measured, as a DataFrame: one line a row with medians in ms, or one line a sample in ns.

    Args:
        store: a file or the URL of a database; else that of BIBENCH_STORE, else the workspace's.
        workspace: else that of BIBENCH_WORKSPACE, else ``bibench-workspace`` here.
        selection: which rows; all by default.
        samples: long form, one line a run.

    Raises:
        MissingExtraError: the extra ``data`` (or ``postgres``) is not installed.
        InputError, StoreError: there is no such store, or it can't be read or holds damaged rows.
    """
    opened = choose_store(
        str(store) if store else None, workspace_folder(Path(workspace) if workspace else None)
    )
    if not opened.exists():
        raise InputError(
            "there is no such store",
            where=opened.where,
            remedy="measure with 'bibench-deploy profile', or name another store or workspace",
        )
    contents = opened.read(selection)
    if contents.damaged:
        first = contents.damaged[0]
        raise InputError(
            f"{len(contents.damaged)} rows are damaged, the first is {first.where}: {first.reason}",
            where=opened.where,
            remedy="'bibench-deploy results list' shows the others",
        )
    return frame(contents.rows, samples)
