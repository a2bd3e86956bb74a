"""The pipeline as Python's users call it: what comes back, what is on disk, what is asked for in between."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest

from bibench_deploy.conversion import as_json, convert
from bibench_deploy.converters.dabnn.emitter import HANDLERS
from bibench_deploy.converters.deployability import Allowed
from bibench_deploy.converters.manifest import manifest_path
from bibench_deploy.errors import (
    InputError,
    ModelFileError,
    NotDeployableError,
    OutputPathError,
    UnsupportedModelError,
)
from bibench_deploy.graph import DOMAIN
from support.cli_nets import binary_net, inputs, write_net
from support.extras import needs
from support.onnx_models import execute, save

needs("larq_compute_engine", "larq")

pytestmark = pytest.mark.larq


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_comes_back(tmp_path: Path) -> None:
    told: list[str] = []
    model = write_net(tmp_path / "net.onnx")
    found = convert(model, tmp_path / "out", ["larq", "dabnn", "larq"], progress=told.append)
    assert found.graph is not None
    assert [layer.name for layer in found.graph.binary_layers] == ["net.0", "net.1"]
    variants = [(artefact.manifest.engine, artefact.manifest.variant) for artefact in found.artefacts]
    both = ("dorefa|bireal|recu|fda", "fp32")
    assert variants == [(engine, variant) for engine in ("larq", "dabnn") for variant in both]
    for artefact in found.artefacts:
        assert artefact.path.read_bytes()
        assert manifest_path(artefact.path).is_file()
        assert artefact.verification.ok
        assert artefact.manifest.verified
    executed = {artefact.manifest.engine: artefact.verification.by for artefact in found.artefacts}
    assert executed == {"larq": "engine", "dabnn": "semantic model"}
    assert found.refused == ()
    assert told[0] == "reading net.onnx"
    assert any("twin" in message for message in told)
    document = as_json(found)
    assert [entry["path"] for entry in document["artefacts"]] == [str(a.path) for a in found.artefacts]
    assert [entry["verification"]["by"] for entry in document["artefacts"]] == [
        *["engine"] * 2,
        *["semantic model"] * 2,
    ]


def test_without_names_every_engine_is_asked(tmp_path: Path) -> None:
    found = convert(write_net(tmp_path / "net.onnx"), tmp_path / "out", twin=False)
    asked = {a.manifest.engine for a in found.artefacts} | {refusal.engine for refusal in found.refused}
    assert asked == {"larq", "dabnn", "native"}


def test_what_one_emitter_refuses_after_all_is_made_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rules had let the model pass: a refusal with a reason all the same, and no end of the conversion."""
    monkeypatch.delitem(cast("dict[tuple[str, str], object]", HANDLERS), (DOMAIN, "BinaryConv"))
    found = convert(write_net(tmp_path / "net.onnx"), tmp_path / "out", ["dabnn", "native"], twin=False)
    assert [artefact.manifest.engine for artefact in found.artefacts] == ["native"]
    (refusal,) = found.refused
    assert (refusal.engine, refusal.assessment.verdict) == ("dabnn", "not_deployable")
    (reason,) = as_json(found)["refused"][0]["reasons"]
    assert reason["message"].startswith("node /c0/Conv")
    assert reason["message"].endswith("daBNN has no operator BinaryConv")
    assert reason["remedy"]


def test_again_gives_the_same_bytes(tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    first, again = (convert(model, tmp_path / name, ["larq"]) for name in ("a", "b"))
    assert names(tmp_path / "a") == names(tmp_path / "b")
    for one, other in zip(first.artefacts, again.artefacts, strict=True):
        assert one.manifest.sha256 == other.manifest.sha256


def test_the_algorithm_that_the_file_names(tmp_path: Path) -> None:
    model = binary_net()
    onnx.helper.set_model_props(model, {"bibench.algorithm": "recu"})
    found = convert(save(tmp_path / "net.onnx", model), tmp_path / "out", ["larq"], twin=False)
    (artefact,) = found.artefacts
    assert artefact.manifest.variant == "recu"
    assert artefact.manifest.source.metadata == {"bibench.algorithm": "recu"}


@pytest.mark.parametrize("name", ["fp32", "two\nlines", "x" * 41])
def test_a_name_that_no_algorithm_can_have(name: str, tmp_path: Path) -> None:
    """fp32 above all: the twin's artefact would take the place of the model's own."""
    model = binary_net()
    onnx.helper.set_model_props(model, {"bibench.algorithm": name})
    with pytest.raises(UnsupportedModelError, match=r"name .* as its algorithm \(bibench\.algorithm\)"):
        convert(save(tmp_path / "net.onnx", model), tmp_path / "out", ["larq"])
    assert names(tmp_path / "out") == set()


def test_the_saved_graph_computes_the_model(tmp_path: Path) -> None:
    model = write_net(tmp_path / "net.onnx")
    convert(model, tmp_path / "out", ["larq"], twin=False, save_graph=True)
    saved = onnx.load(tmp_path / "out" / "net.graph.onnx")
    onnx.checker.check_model(saved)
    assert {node.domain for node in saved.graph.node} == {"", "bibench"}
    x = inputs(1)
    np.testing.assert_allclose(
        execute(saved, {"x": x})["y"], execute(onnx.load(model), {"x": x})["y"], rtol=1e-4, atol=1e-4
    )


def test_real_rows_come_before_random_ones_and_are_counted(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=inputs(7), labels=np.arange(7))
    model = write_net(tmp_path / "net.onnx")
    found = convert(model, tmp_path / "out", ["larq"], tmp_path / "d.npz", twin=True)
    binary, twin = (artefact.verification for artefact in found.artefacts)
    assert binary.data is not None
    assert binary.data.rows == 7
    assert binary.data.accuracy is not None
    assert twin.data is None  # its accuracy would say nothing: it was never trained


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"engines": ["larq", "bolt"]}, InputError, "no engine 'bolt'"),
        ({"folder": "net.onnx"}, OutputPathError, "can't be written"),
        ({"model": "nothing.onnx"}, ModelFileError, "there is no such file"),
        ({"model": "fp32.onnx"}, NotDeployableError, "no layer of this model is binary"),
    ],
)
def test_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], error: type[Exception], says: str
) -> None:
    write_net(tmp_path / "net.onnx")
    write_net(tmp_path / "fp32.onnx", binary=False)
    folder = tmp_path / str(options.get("folder", "out"))
    engines = options.get("engines", ["larq"])
    assert isinstance(engines, list)
    with pytest.raises(error, match=says):
        convert(tmp_path / str(options.get("model", "net.onnx")), folder, engines, save_graph=True)
    assert not folder.is_dir() or names(folder) == set()


def test_what_is_allowed_but_not_needed_changes_nothing(tmp_path: Path) -> None:
    allowed = Allowed(padding=1.0, sign_zero=1.0)
    found = convert(write_net(tmp_path / "net.onnx"), tmp_path / "out", ["larq"], allowed=allowed, twin=False)
    (artefact,) = found.artefacts
    assert artefact.manifest.changes == []
    assert found.graph is not None
    assert {layer.pad_value for layer in found.graph.binary_layers} == {0.0}
