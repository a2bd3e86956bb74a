"""The data files of the engines, and what a malformed one answers."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from importlib.resources import files
from pathlib import Path

import pytest

from bibench_deploy.converters import capabilities
from bibench_deploy.converters.capabilities import Gemm, known_engines, load, parse
from bibench_deploy.converters.dabnn.emitter import HANDLERS as DABNN_HANDLERS
from bibench_deploy.converters.kernel_limits import gemm_words
from bibench_deploy.converters.larq.emitter import HANDLERS
from bibench_deploy.converters.native.emitter import HANDLERS as NATIVE_HANDLERS
from bibench_deploy.converters.native.layers import BETWEEN
from bibench_deploy.errors import InputError

LARQ = files("bibench_deploy.converters.larq").joinpath("capabilities.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("engine", "granularity", "form", "folds", "rescaling", "shift"),
    [
        ("larq", ("none", "channel"), "FP32", True, False, True),
        ("dabnn", ("none", "channel"), "FP32", True, False, False),
        ("native", ("none", "channel", "spatial", "input"), "FP32", True, True, True),  # a third row to it
    ],
)
def test_the_papers_table_4(
    engine: str, granularity: tuple[str, ...], form: str, folds: bool, rescaling: bool, shift: bool
) -> None:
    factors = load(engine).factors
    assert (factors.granularity, factors.form) == (granularity, form)
    assert (factors.folds_batch_norm, factors.activation_rescaling) == (folds, rescaling)
    assert factors.mean_shift is shift


def test_engines_in_the_order_of_the_paper() -> None:
    assert known_engines()[:3] == ["larq", "dabnn", "native"]
    assert [load(engine).status for engine in known_engines()[:3]] == ["available"] * 3


def test_larqs_operators_are_those_of_its_emitter() -> None:
    lowered = {op for domain, op in HANDLERS if not domain}
    assert load("larq").operators.taken == lowered


def test_dabnns_operators_are_those_of_its_emitter() -> None:
    assert load("dabnn").operators.taken == {op for domain, op in DABNN_HANDLERS if not domain}


def test_natives_operators_are_those_of_its_emitter() -> None:
    assert load("native").operators.taken == {op for domain, op in NATIVE_HANDLERS if not domain}
    assert set(load("native").binary.between_sign_and_layer) == BETWEEN


@pytest.mark.parametrize("engine", ["larq", "dabnn", "native"])
def test_every_named_operator_is_one_that_the_engine_takes(engine: str) -> None:
    """A condition on an operator that is refused anyway would be a slip of the pen."""
    operators = load(engine).operators
    conditions = operators.conditions
    assert set(conditions.constant_inputs) | set(conditions.row_operators) <= operators.taken
    assert operators.emulated <= operators.taken
    assert set(load(engine).binary.between_sign_and_layer) <= operators.taken
    assert not set(operators.remedies) & operators.taken


@pytest.mark.parametrize(
    ("engine", "value", "how"),
    [
        ("larq", 1.0, "native"),
        ("larq", 0.0, "corrected"),
        ("larq", -1.0, "explicit"),
        ("larq", 0.5, "border-constant"),
        ("dabnn", -1.0, "native"),
        ("dabnn", 1.0, "negated"),
        ("dabnn", 0.0, "border-constant"),
        ("native", 0.0, "native"),
        ("native", 0.5, "native"),
    ],
)
def test_how_each_padding_is_computed(engine: str, value: float, how: str) -> None:
    form = load(engine).binary.pad_form(value)
    assert form is not None
    assert form.how == how


@pytest.mark.parametrize(
    ("depth", "outputs", "words"),
    [
        (9 * 96, 112 * 112, 14 * 12540),
        (9 * 32, 112 * 112, 6 * 12540),
        (9 * 320, 64 * 64, 32 * 4092),  # 46 words a filter, counted as 32
        (1, 5, 0),  # fewer outputs than one block of 6 rows
    ],
)
def test_words_of_the_static_buffer(depth: int, outputs: int, words: int) -> None:
    gemm = load("dabnn").binary.gemm
    assert isinstance(gemm, Gemm)
    assert gemm_words(depth, outputs, gemm) == words


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mean_shift = true", 'mean_shift = "sometimes"', "factors.mean_shift"),
        ("mean_shift = true", "", "factors.mean_shift"),
        ("mean_shift = true", "mean_shift = true\nmean_shfit = true", "factors.mean_shfit"),
        ('status = "available"', 'status = "soon"', "status"),
        ("[factors]", "[factors", "not TOML"),
    ],
)
def test_a_malformed_file_is_refused_by_key(old: str, new: str, message: str) -> None:
    assert old in LARQ
    with pytest.raises(InputError, match=message) as error:
        parse(LARQ.replace(old, new, 1), "my.toml")
    assert error.value.where == "my.toml"


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="no engine 'tflite'") as error:
        load("tflite")
    assert error.value.remedy is not None
    assert "larq, dabnn, native" in error.value.remedy


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of somebody else's, registered as engine ``bolt``."""
    package = tmp_path / "bolt_engine_for_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("bolt", "bolt_engine_for_test", "bibench_deploy.engines")
    monkeypatch.setattr(capabilities, "entry_points", lambda group: [point])
    return package


def test_third_parties_engines_bring_their_own_file(third_party: Path) -> None:
    assert "bolt" in known_engines()
    with pytest.raises(InputError, match="missing"):
        load("bolt")
    (third_party / "capabilities.toml").write_text(LARQ, encoding="utf-8")
    with pytest.raises(InputError, match="is written for 'larq'"):
        load("bolt")
    text = LARQ.replace('engine = "larq"', 'engine = "bolt"')
    (third_party / "capabilities.toml").write_text(text, encoding="utf-8")
    assert load("bolt").engine == "bolt"
