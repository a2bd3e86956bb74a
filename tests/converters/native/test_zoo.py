"""The eight algorithms and trained networks, through the whole pipeline, in bibench-run."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.conversion import convert
from bibench_deploy.converters import native
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.native.bbm import Op, parse
from bibench_deploy.converters.reader import read
from bibench_deploy.converters.twin import fp32_twin
from bibench_deploy.converters.verification import Reference, verify
from bibench_deploy.errors import EngineError, MissingExtraError
from bibench_deploy.evaluation_data import random_rows
from bibench_deploy.runners import native_build
from bibench_deploy.runners.native_engine import NativeSession
from bibench_deploy.runners.session import opener
from support import bbm_reference
from support.binary_graphs import binary_layer, expected, make_graph
from support.extras import needs_bibench_run

MODELS = Path(__file__).parents[2] / "fixtures" / "models"
FILES = sorted(MODELS.glob("*.onnx"))
ALGORITHMS = ("bnn", "xnor", "dorefa", "bireal", "xnorpp", "reactnet", "recu", "fda")
#: A network with residuals and one without; VGG-Small is the latter with more channels.
BINARY_LAYERS = {"resnet20": 20, "vgg-tiny": 3}
#: Pieces of these small networks agree to this, relative to a value's largest number.
CLOSE = 1e-5


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    needs_bibench_run()


@pytest.mark.zoo
@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "xnor_k"), [*((name, "location") for name in ALGORITHMS), ("xnor", "sample")]
)
@pytest.mark.parametrize("arch", BINARY_LAYERS)
def test_an_algorithm_is_deployable(arch: str, algorithm: str, xnor_k: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from bibench_deploy.zoo import registry
    from bibench_deploy.zoo.export import export_random

    path = tmp_path / "net.onnx"
    options = registry.options(sign_zero=1, pad_value=0, xnor_k=xnor_k)
    export_random(arch, algorithm, registry.dataset("cifar10"), options, seed=0, output=path)
    result = convert(path, tmp_path, engines=["native"], twin=False)
    (artefact,) = result.artefacts
    assert artefact.manifest.variant == algorithm
    assert artefact.manifest.binary_ops == result.binary_layers == BINARY_LAYERS[arch]
    assert all(piece.relative < CLOSE for piece in artefact.verification.layers if not piece.explained)
    assert artefact.verification.random.median < CLOSE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_trained_network_is_converted_and_verified_piece_by_piece(path: Path, tmp_path: Path) -> None:
    result = convert(path, tmp_path, engines=["native"], data=MODELS / "fashion_300.npz")
    binarized, twin = result.artefacts
    assert binarized.manifest.binary_ops == result.binary_layers > 0
    assert twin.manifest.binary_ops == 0
    for artefact in result.artefacts:
        found = artefact.verification
        assert found.ok
        assert len(found.layers) > result.binary_layers
        assert all(piece.relative < CLOSE for piece in found.layers if not piece.explained)
    data = binarized.verification.data
    assert data is not None
    assert data.rows == 300
    assert data.differing_classes == 0


@pytest.mark.parametrize("isa", ["portable", "avx2", "avx512", "neon"])
@pytest.mark.parametrize(
    "name", ["vgg_xnor_k__ts__latent", "resnet20_bireal_zero__ts__latent", "vgg_xnorpp__ts__frozen"]
)
def test_every_kernel_of_this_machine_computes_the_same(
    name: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = fuse(read(MODELS / f"{name}.onnx"))
    emitted = native.emit(graph)
    monkeypatch.setenv("BIBENCH_ISA", isa)
    try:
        session = NativeSession(emitted.data, emitted.inputs, emitted.outputs)
    except EngineError as error:
        pytest.skip(error.message)
    assert session.kernel == isa
    found = verify(Reference(graph, random_rows(graph)[:4]), emitted, opener("native"))
    assert found.ok, found.problem


@pytest.mark.parametrize("path", FILES[:1] + FILES[-2:], ids=lambda path: path.stem)
def test_the_file_says_the_same_to_a_second_reader(path: Path) -> None:
    """The format's text alone is enough: an interpreter that shares no code with the engine agrees."""
    graph = fuse(read(path))
    for each in (graph, fp32_twin(graph)):
        found = verify(Reference(each, random_rows(each)[:2]), native.emit(each), bbm_reference.opener)
        assert found.ok, found.problem
        assert all(piece.relative < CLOSE for piece in found.layers if not piece.explained)


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    graph = fuse(read(MODELS / "resnet20_bireal_zero__ts__latent.onnx"))
    emitted = native.emit(graph)
    (row,) = random_rows(graph)[:1]
    one = NativeSession(emitted.data, emitted.inputs, emitted.outputs).run(row)
    many = NativeSession(emitted.data, emitted.inputs, emitted.outputs, threads).run(row)
    for name, array in one.items():
        np.testing.assert_array_equal(many[name], array)


@pytest.mark.slow
@pytest.mark.xdist_group("cross")
@pytest.mark.parametrize(
    ("target", "emulator"), [("aarch64-linux", "qemu-aarch64"), ("armv7-linux", "qemu-arm")]
)
def test_the_program_of_an_arm_board_computes_the_same_under_qemu(
    target: str, emulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which(f"{emulator}-static") or shutil.which(emulator)
    if found is None:
        pytest.skip(f"no {emulator} here")
    try:
        program = native_build.build(target)
    except MissingExtraError:
        pytest.skip("ziglang is not installed")
    monkeypatch.setenv(native_build.PROGRAM_VARIABLE, f"{found} {program}")
    for name in ("vgg_xnor_k__ts__latent", "resnet20_bireal_zero__ts__latent"):
        graph = fuse(read(MODELS / f"{name}.onnx"))
        emitted = native.emit(graph)
        assert NativeSession(emitted.data, emitted.inputs, emitted.outputs).kernel == "neon"
        # One row: emulated, each piece of the network is a process of its own that takes a while to start.
        verification = verify(Reference(graph, random_rows(graph)[:1]), emitted, opener("native"))
        assert verification.ok, verification.problem
    # "x > 0" is x >= the smallest subnormal number, which NEON of 32 bits takes as 0.
    above = np.nextafter(np.float32(0), np.float32(1))
    text, constants = binary_layer(np.random.default_rng(1), "x", "y", (4, 8), threshold=above)
    graph = make_graph(text, {"x": (1, 8)}, constants=constants)
    emitted, feeds = native.emit(graph), {"x": np.float32([[0, -0.0, 1, -1, 0, 2, 1e-30, -1e-30]])}
    found_y = NativeSession(emitted.data, emitted.inputs, emitted.outputs).run(feeds)["y"]
    np.testing.assert_array_equal(found_y, expected(graph, feeds)[0])


def test_everything_around_a_binary_layer_is_in_its_epilogue() -> None:
    graph = fuse(read(MODELS / "resnet20_bireal_zero__ts__latent.onnx"))
    kinds = [operator.op for operator in parse(native.emit(graph).data).operators]
    # 18 binary layers with batch-norm, residual, PReLU and the next sign; stem, two shortcuts, classifier; pools.
    assert (kinds.count(Op.BCONV), kinds.count(Op.CONV), kinds.count(Op.MAP)) == (18, 4, 0)
    assert len(kinds) == 18 + 4 + 2 + 1
