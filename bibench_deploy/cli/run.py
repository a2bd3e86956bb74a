"""``bibench-deploy run``: the outputs of an artefact, or of an ONNX model, for inputs of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console, targets
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bibench_deploy.converters.check_rows import Batch
    from bibench_deploy.device_profiles import Device
    from bibench_deploy.runners.arrays import Arrays, InputSpec
    from bibench_deploy.runners.base import Array
    from bibench_deploy.runners.device.worker import OnDevice
    from bibench_deploy.runners.workspace import Artefact

# Rows at once through an ONNX model that takes any number: bounds the memory, not the result.
FREE_BATCH = 32

# Inputs that are sent to a device at once, in bytes: bounds what lies in its work folder meanwhile.
SENT_AT_ONCE = 32 << 20


@targets.dealing_with_devices
def run(
    manner: targets.Manner,
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
    device: Annotated[
        str, typer.Option("--device", metavar="ID", help="Where to execute it; 'local' is this machine.")
    ] = targets.LOCAL,
    inventory: targets.InventoryOption = None,
    profiles: targets.ProfilesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Execute an artefact and write its outputs, so that you can look for yourself.

    Any number of rows is taken: they are split into the artefact's batches, the last one filled up.
    """
    from bibench_deploy.runners.arrays import check_output, write_npz

    check_output(output)
    remote = targets.one(targets.choose([device], [], inventory, profiles or []))
    if remote is None:
        done = _here(artefact, inputs, threads)
    else:
        done = _there(remote, artefact, inputs, threads, manner, profiles or [])
    write_npz(output, done.results)
    _show(done, artefact, output, threads, device, as_json)


@dataclass(frozen=True)
class _Done:
    """Outputs by name, and what executed the artefact."""

    results: dict[str, Array]
    rows: int
    engine: str
    kernel: str | None = None


def _here(artefact: Path, inputs: Path, threads: int) -> _Done:
    from bibench_deploy.runners.arrays import execute
    from bibench_deploy.runners.session import open_executable

    opened = open_executable(artefact, threads)
    arrays = _read(inputs, opened.specs)
    rows = len(next(iter(arrays.values())))
    results = execute(opened.run, arrays, opened.batch or min(rows, FREE_BATCH))
    return _Done(results, rows, opened.engine, opened.kernel)


def _there(
    device: Device, path: Path, inputs: Path, threads: int, manner: targets.Manner, profiles: Sequence[Path]
) -> _Done:
    from bibench_deploy.device_profiles import load_cores
    from bibench_deploy.runners.device.place import engines, opened
    from bibench_deploy.runners.session import specs_of
    from bibench_deploy.runners.workspace import read_artefact

    if path.suffix == ".onnx":
        raise InputError(
            "an ONNX model is executed on this machine only",
            where=str(path),
            remedy="convert it, and give one of its artefacts",
        )
    artefact = read_artefact(path)
    arrays = _read(inputs, specs_of(artefact.manifest))

    def say(message: str) -> None:
        console.stderr().print(message, markup=False, soft_wrap=True)

    with opened(targets.session(device, load_cores(profiles), manner, "run", say), engines(say)) as place:
        on_device = place.on_device(artefact)
        results = _executed(on_device, artefact, arrays, threads)
    return _Done(results, len(next(iter(arrays.values()))), artefact.manifest.engine)


def _executed(on_device: OnDevice, artefact: Artefact, arrays: Arrays, threads: int) -> dict[str, Array]:
    from bibench_deploy.runners.arrays import execute_together

    def together(batches: list[dict[str, Array]]) -> Sequence[Batch]:
        got = on_device.session.persistently(lambda: on_device.execute(batches, threads, "executing"))
        if got is None:
            raise InputError(
                f"the program of {artefact.manifest.engine} for devices does not tell what it computes",
                where=str(artefact.path),
                remedy="execute it on this machine",
            )
        return got

    batch = artefact.manifest.inputs[0].shape[0]
    size = sum(array[:1].nbytes for array in arrays.values()) * batch
    return execute_together(together, arrays, batch, max(1, SENT_AT_ONCE // size))


def _read(inputs: Path, specs: Sequence[InputSpec]) -> dict[str, Array]:
    from bibench_deploy.runners.arrays import match_inputs, read_npz

    arrays, unused = match_inputs(read_npz(inputs), specs, str(inputs))
    if unused:
        console.warn(f"the model has no input {', '.join(repr(name) for name in unused)}: not used")
    return arrays


def _show(done: _Done, artefact: Path, output: Path, threads: int, device: str, as_json: bool) -> None:
    shapes = [
        {"name": name, "shape": list(array.shape), "dtype": str(array.dtype)}
        for name, array in done.results.items()
    ]
    if as_json:
        facts = {"artefact": str(artefact), "device": device, "engine": done.engine, "kernel": done.kernel}
        console.print_json(
            {**facts, "threads": threads, "rows": done.rows, "outputs": shapes, "output": str(output)}
        )
        return
    kernel = f", binary kernel {done.kernel}" if done.kernel else ""
    where = "" if device == targets.LOCAL else f" on {device}"
    typer.echo(f"{artefact}: {done.rows} rows with {done.engine}{kernel}{where}")
    for shape in shapes:
        typer.echo(f"  {shape['name']} {shape['dtype']} {tuple(shape['shape'])}")
    typer.echo(f"written to {output}")
