"""A manifest says what is known of an artefact, and that the artefact is the one it is about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bibench_deploy.converters.manifest import Manifest, manifest_path, read_manifest
from bibench_deploy.errors import ArtefactError
from support.extras import needs
from support.tiny import add_artefact

needs("larq_compute_engine", "larq")

pytestmark = pytest.mark.larq


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    return add_artefact(tmp_path)


def rewritten(artefact: Path, **facts: Any) -> None:
    """Change fields of a manifest's JSON; None removes one."""
    path = manifest_path(artefact)
    document = json.loads(path.read_text()) | facts
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))


def test_where_it_lies(tmp_path: Path) -> None:
    assert manifest_path(tmp_path / "a.larq.tflite") == tmp_path / "a.larq.tflite.json"


def test_written_and_read(artefact: Path) -> None:
    manifest = read_manifest(artefact)
    assert (manifest.engine, manifest.variant, manifest.binary_ops) == ("larq", "bnn", 1)
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        pytest.param({"format": 2}, "format", id="of a newer version"),
        pytest.param({"engine": None}, "engine", id="a field missing"),
        pytest.param({"surprise": 1}, "surprise", id="a field too many"),
        pytest.param({"inputs": [{"name": "x"}]}, "inputs.0.shape", id="a field missing further down"),
        pytest.param({"binary_ops": "many"}, "binary_ops", id="a wrong type"),
    ],
)
def test_a_manifest_that_is_not_ours(artefact: Path, facts: dict[str, Any], field: str) -> None:
    rewritten(artefact, **facts)
    with pytest.raises(ArtefactError, match="not a manifest of this tool") as refusal:
        read_manifest(artefact)
    assert f"({field}: " in refusal.value.message
    assert refusal.value.where == str(manifest_path(artefact))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_json_of_ours(artefact: Path, text: bytes) -> None:
    manifest_path(artefact).write_bytes(text)
    with pytest.raises(ArtefactError, match="not a manifest of this tool"):
        read_manifest(artefact)


def test_a_manifest_without_its_artefact(artefact: Path) -> None:
    artefact.unlink()
    with pytest.raises(ArtefactError, match="there is no such file") as refusal:
        read_manifest(artefact)
    assert refusal.value.where == str(artefact)


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("m.native.bbm", "copy its manifest along"), ("m.onnx", "bibench-deploy convert")],
)
def test_a_file_without_a_manifest(tmp_path: Path, name: str, remedy: str) -> None:
    (tmp_path / name).write_bytes(b"bytes")
    with pytest.raises(ArtefactError, match=rf"no manifest \({name}.json\) beside it") as refusal:
        read_manifest(tmp_path / name)
    assert refusal.value.where == str(tmp_path / name)
    assert remedy in str(refusal.value.remedy)


def test_an_artefact_with_one_bit_flipped(artefact: Path) -> None:
    data = bytearray(artefact.read_bytes())
    data[-1] ^= 1
    artefact.write_bytes(data)
    with pytest.raises(ArtefactError, match="damaged or was replaced"):
        read_manifest(artefact)


def test_facts_are_strict(artefact: Path) -> None:
    with pytest.raises(ValidationError):
        Manifest(**(read_manifest(artefact).model_dump() | {"verdict": "fine"}))
