"""Stale models are converted once, each by itself; what they became is kept by content, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import onnx
import pytest

from bibench_deploy.errors import DataError, ModelFileError, UnsupportedModelError
from bibench_deploy.nightly import conversion, kept, making
from bibench_deploy.nightly.conversion import Converted, Task, convert_stale, stale, tasks
from bibench_deploy.nightly.expansion import Wanted
from bibench_deploy.nightly.kept import find_artefact, prune
from bibench_deploy.nightly.pools import Pool
from bibench_deploy.nightly.reading import parse_plan
from bibench_deploy.runners.workspace import read_artefact
from support.cli_nets import binary_net, inputs, write_net


@contextmanager
def here() -> Iterator[Executor]:
    """The work in threads of this process: what the pool is, is the matter of other tests."""
    with ThreadPoolExecutor(2) as executor:
        yield executor


@contextmanager
def never() -> Iterator[Executor]:
    pytest.fail("nothing is stale")
    yield


@pytest.fixture
def net(tmp_path: Path) -> Path:
    return write_net(tmp_path / "net.onnx", layers=1)


def converted(workspace: Path, *wanted: Task, pool: Pool = here) -> Converted:
    return convert_stale(wanted, workspace, pool)


def folders(workspace: Path) -> list[Path]:
    return sorted(path for path in (workspace / kept.FOLDER).iterdir() if path.name != ".lock")


def test_once_and_then_never_again(net: Path, tmp_path: Path) -> None:
    todo = [Task(net, "native", twin=True), Task(net, "dabnn", twin=False)]
    assert stale(todo, tmp_path) == tuple(todo)
    first = converted(tmp_path, *todo)
    assert first.made == 2
    assert set(first.artefacts) == {
        (net, "native", "binarized"),
        (net, "native", "fp32"),
        (net, "dabnn", "binarized"),
    }
    for artefact in first.artefacts.values():
        assert artefact.manifest.verified
        assert read_artefact(artefact.path) == artefact
    assert stale(todo, tmp_path) == ()
    again = converted(tmp_path, *todo, pool=never)
    assert (again.made, again.artefacts) == (0, first.artefacts)
    job = Wanted("pi", net, "native", "fp32", 4)
    assert again.artefact(job) == first.artefacts[net, "native", "fp32"]
    assert again.artefact(replace(job, engine="larq")) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda task: replace(task, twin=True),
        lambda task: replace(task, allow=("padding=-1",)),
        lambda task: replace(task, data=task.model.with_name("data.npz")),
        lambda task: replace(task, engine="dabnn"),
        lambda task: replace(task, model=Path(shutil.copy(task.model, task.model.with_name("other.onnx")))),
        lambda task: replace(task, model=write_net(task.model, layers=2)),
    ],
)
def test_another_question_has_another_key(net: Path, change: Callable[[Task], Task]) -> None:
    net.with_name("data.npz").write_bytes(b"PK")
    task = Task(net, "native", twin=False)
    before = kept.key_of(conversion._order(task))
    assert kept.key_of(conversion._order(task)) == before
    assert kept.key_of(conversion._order(change(task))) != before


def test_the_tool_itself_is_part_of_the_key(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine's code is not: its artefacts alone become stale."""
    order = conversion._order(Task(net, "native", twin=False))
    larq = making.fingerprint("larq")
    read, changed = making._code, []

    def edited(*arguments: object) -> Iterator[tuple[str, bytes]]:
        for name, data in read(*arguments):  # type: ignore[arg-type]
            yield name, data + b"#" if name in changed else data

    monkeypatch.setattr(making, "_code", edited)
    tool = making.fingerprint.__wrapped__
    assert tool("native") == order.tool
    changed.append("fusion.py")
    assert tool("native") != order.tool
    changed[:] = ["lce.py"]
    assert tool("native") == order.tool
    assert tool("larq") != larq


def test_what_an_engine_refuses_is_kept_too(tmp_path: Path) -> None:
    net = write_net(tmp_path / "xnor.onnx", layers=1, runtime_factor=True)
    task = Task(net, "dabnn", twin=True)
    refused = converted(tmp_path, task).refused[net, "dabnn"]
    assert any("factor" in reason for reason in refused.reasons)
    assert refused.algorithm == "xnor"
    again = converted(tmp_path, task, pool=never)
    assert again.refused == {(net, "dabnn"): refused}
    assert again.artefacts == {}


def test_a_model_without_binary_layers_is_refused(tmp_path: Path) -> None:
    net = write_net(tmp_path / "float.onnx", layers=1, binary=False)
    result = converted(tmp_path, Task(net, "native", twin=True))
    assert "no layer of this model is binary" in result.refused[net, "native"].reasons[0]
    assert result.failed == {}


def test_what_fails_is_told_and_the_rest_goes_on(net: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    endless = onnx.load(net)
    endless.graph.initializer[0].raw_data = b"\xff" * len(endless.graph.initializer[0].raw_data)
    onnx.save(endless, tmp_path / "nan.onnx")
    todo = [
        Task(tmp_path / "damaged.onnx", "native", twin=True),
        Task(tmp_path / "missing.onnx", "native", twin=True),
        Task(tmp_path / "nan.onnx", "native", twin=True),
        Task(net, "native", twin=True, data=tmp_path / "none.npz"),
        Task(net, "dabnn", twin=True),
    ]
    result = converted(tmp_path, *todo)
    assert {model.name: type(error) for (model, _), error in result.failed.items()} == {
        "damaged.onnx": ModelFileError,
        "missing.onnx": ModelFileError,
        "nan.onnx": UnsupportedModelError,
        "net.onnx": DataError,
    }
    told = result.failed[tmp_path / "nan.onnx", "native"]
    assert told.where is not None
    assert told.where.startswith("nan.onnx"), "no path of a folder that is gone"
    assert set(result.artefacts) == {(net, "dabnn", "binarized"), (net, "dabnn", "fp32")}
    assert len(folders(tmp_path)) == 1, "a failure leaves nothing, and is tried again"


def test_an_artefact_that_is_not_verified_is_no_artefact(net: Path, tmp_path: Path) -> None:
    """A converter that emits something else: its artefact is not kept, and the error says so."""
    import bibench_deploy.converters.native as engine

    emit = engine.emit

    def wrong(graph: object) -> object:
        emitted = emit(graph)  # type: ignore[arg-type]
        return replace(emitted, data=emit(other).data, probe=None)

    from bibench_deploy.converters.fusion import fuse
    from bibench_deploy.converters.reader import read

    other = fuse(read(write_net(tmp_path / "other.onnx", layers=1, scaled=False)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "emit", wrong)
        result = converted(tmp_path, Task(net, "native", twin=False))
    assert set(result.failed) == {(net, "native")}
    assert result.failed[net, "native"].exit_code == 1
    assert not (tmp_path / kept.FOLDER).exists()


@pytest.mark.parametrize("damage", ["artefact", "manifest", "record", "gone", "unverified"])
def test_what_is_damaged_is_made_again(net: Path, tmp_path: Path, damage: str) -> None:
    task = Task(net, "native", twin=False)
    artefact = converted(tmp_path, task).artefacts[net, "native", "binarized"]
    folder = artefact.path.parent
    match damage:
        case "artefact":
            artefact.path.write_bytes(b"x")
        case "manifest":
            artefact.path.with_name(artefact.path.name + ".json").write_text("{")
        case "record":
            (folder / kept.RECORD).write_text("{")
        case "gone":
            artefact.path.unlink()
        case "unverified":
            manifest = artefact.manifest.model_copy(update={"verified": False})
            artefact.path.with_name(artefact.path.name + ".json").write_text(manifest.model_dump_json())
    assert stale([task], tmp_path) == (task,)
    mended = converted(tmp_path, task)
    assert mended.made == 1
    assert mended.artefacts[net, "native", "binarized"] == artefact
    assert folders(tmp_path) == [folder]


def test_external_data_is_part_of_a_model(tmp_path: Path) -> None:
    model = binary_net(layers=1)
    path = tmp_path / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    task = Task(path, "native", twin=False)
    artefact = converted(tmp_path, task).artefacts[path, "native", "binarized"]
    assert find_artefact(tmp_path, artefact.manifest.sha256) == artefact
    data = (tmp_path / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(data[:-4] + b"\0\0\0\x40")
    assert stale([task], tmp_path) == (task,), "the weights changed, though the .onnx file did not"


def test_real_inputs_verify(net: Path, tmp_path: Path) -> None:
    import numpy as np

    np.savez(tmp_path / "x.npz", x=inputs())
    result = converted(tmp_path, Task(net, "native", twin=False, data=tmp_path / "x.npz"))
    verification = result.artefacts[net, "native", "binarized"].manifest.verification
    assert verification is not None
    assert verification["data"]["rows"] == 4


def test_old_artefacts_are_found_and_pruned(net: Path, tmp_path: Path) -> None:
    task = Task(net, "native", twin=True)
    old = converted(tmp_path, task).artefacts
    write_net(net, layers=2)
    new = converted(tmp_path, task).artefacts
    for artefact in (*old.values(), *new.values()):
        assert find_artefact(tmp_path, artefact.manifest.sha256) == artefact
    assert find_artefact(tmp_path, hashlib.sha256(b"").hexdigest()) is None
    left = tmp_path / kept.FOLDER / ".key.abc.tmp"
    left.mkdir()
    later = datetime.now(UTC) + timedelta(days=30)
    for name in (old[net, "native", "fp32"].path.parent / kept.RECORD, left):
        os.utime(name, (0, 0))
    assert prune(tmp_path, days=60, now=later) == 1
    assert folders(tmp_path) == [new[net, "native", "fp32"].path.parent]
    assert find_artefact(tmp_path, old[net, "native", "fp32"].manifest.sha256) is None
    assert stale([task], tmp_path) == ()
    assert prune(tmp_path / "none", days=1) == 0


def test_what_is_used_is_not_pruned(net: Path, tmp_path: Path) -> None:
    task = Task(net, "native", twin=False)
    artefact = converted(tmp_path, task).artefacts[net, "native", "binarized"]
    os.utime(artefact.path.parent / kept.RECORD, (0, 0))
    converted(tmp_path, task, pool=never)
    assert prune(tmp_path, days=1) == 0


def test_what_a_plan_asks_for(tmp_path: Path) -> None:
    plan = parse_plan(
        "format = 1\n[[models]]\nfile = 'a.onnx'\nallow = ['padding=-1']\ndata = 'x.npz'\n"
        "[[models]]\nfile = 'b.onnx'\n[[devices]]\nnames = ['pi']",
        "lab.toml",
    )
    a, b = tmp_path / "a.onnx", tmp_path / "b.onnx"
    jobs = [
        Wanted(device, model, "native", variant, threads)
        for device in ("pi", "pi2")
        for model, variants in ((a, ("binarized",)), (b, ("binarized", "fp32")))
        for variant in variants
        for threads in (1, 2)
    ]
    assert tasks(plan, ((a,), (b,)), tmp_path, jobs) == (
        Task(a, "native", False, ("padding=-1",), tmp_path / "x.npz"),
        Task(b, "native", True),
    )


def test_another_version_on_a_worker_is_refused(net: Path) -> None:
    order = replace(conversion._order(Task(net, "native", twin=False)), tool="0" * 64)
    made = making.make(order)
    assert made.error is not None
    assert made.error["type"] == "InfrastructureError"
    assert "another version" in made.error["message"]


def test_the_bug_of_a_converter_is_no_finding(net: Path, tmp_path: Path) -> None:
    @contextmanager
    def broken() -> Iterator[Executor]:
        class Broken(Executor):
            def submit(self, *arguments: object, **keywords: object) -> Future[object]:  # type: ignore[override]
                future: Future[object] = Future()
                future.set_exception(ZeroDivisionError("a bug"))
                return future

        yield Broken()

    with pytest.raises(ZeroDivisionError):
        converted(tmp_path, Task(net, "native", twin=False), pool=broken)
