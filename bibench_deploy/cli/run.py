"""``bibench-deploy run``: the outputs of an artefact, or of an ONNX model, for inputs of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bibench_deploy.cli import console

# Rows at once through an ONNX model that takes any number: bounds the memory, not the result.
FREE_BATCH = 32


def run(
    artefact: Annotated[
        Path, typer.Argument(metavar="ARTEFACT", help="An artefact of any engine, or an ONNX model.")
    ],
    inputs: Annotated[
        Path,
        typer.Option(
            "--input", metavar="X.npz", help="One array a model input, rows first, as ONNX takes it."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", metavar="Y.npz", help="Gets one array a model output.")],
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, max=1024)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Execute an artefact on this machine and write its outputs, so that you can look for yourself.

    Any number of rows is taken: they are split into the artefact's batches, the last one filled up.
    """
    from bibench_deploy.runners.arrays import check_output, execute, match_inputs, read_npz, write_npz
    from bibench_deploy.runners.session import open_executable

    check_output(output)
    opened = open_executable(artefact, threads)
    arrays, unused = match_inputs(read_npz(inputs), opened.specs, str(inputs))
    if unused:
        console.warn(f"the model has no input {', '.join(repr(name) for name in unused)}: not used")
    rows = len(next(iter(arrays.values())))
    results = execute(opened.run, arrays, opened.batch or min(rows, FREE_BATCH))
    write_npz(output, results)
    shapes = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in results.items()
    ]
    if as_json:
        facts = {"artefact": str(artefact), "engine": opened.engine, "kernel": opened.kernel}
        console.print_json(
            {**facts, "threads": threads, "rows": rows, "outputs": shapes, "output": str(output)}
        )
        return
    kernel = f", binary kernel {opened.kernel}" if opened.kernel else ""
    typer.echo(f"{artefact}: {rows} rows with {opened.engine}{kernel}")
    for shape in shapes:
        typer.echo(f"  {shape['name']} {shape['dtype']} {tuple(shape['shape'])}")
    typer.echo(f"written to {output}")
