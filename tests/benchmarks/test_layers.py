from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from suite.bars import OF_POPCOUNT
from suite.layers import Figures, Layer, Setting, bars, measure, show
from suite.markdown import BEGIN
from suite.scaling import points, proportional_range, sentence
from support import native_engine

COMMAND = Path(__file__).parents[2] / "benchmarks" / "native.py"


def found(percents: dict[int, list[float]]) -> dict[Setting, list[Figures]]:
    """Channels → percent of the ceiling in each round."""
    return {
        Setting(Layer(28, channels, channels), "avx512", 1): [
            Figures(1.0, 10.0, percent, percent + 1) for percent in rounds
        ]
        for channels, rounds in percents.items()
    }


def test_the_bar_is_for_the_worst_layer_of_each_class() -> None:
    wide, narrow = bars(found({64: [70, 80, 76], 128: [90, 91, 99], 256: [85, 85, 20], 32: [10]}), "avx512")
    assert (wide.value, wide.limit, wide.verdict) == (85, OF_POPCOUNT[128], "pass")
    assert (narrow.value, narrow.limit, narrow.verdict) == (76, OF_POPCOUNT[64], "pass (unsure)")
    assert "28×28×256" in wide.shown


def test_noise_that_could_have_decided_is_said() -> None:
    """The median's interval, as for all other bars; the fastest run stands beside it."""
    wide, narrow = bars(found({64: [64] * 5 + [79] * 4, 128: [80] * 9}), "avx512")
    assert (wide.verdict, narrow.verdict) == ("FAIL", "FAIL (unsure)")
    assert narrow.shown.startswith("64 (64–79), 80: ")


def test_a_class_that_was_not_measured_has_no_verdict() -> None:
    assert [bar.verdict for bar in bars(found({64: [80]}), "avx512")] == ["not measured", "pass"]
    assert [bar.verdict for bar in bars(found({64: [80]}), "avx2")] == ["not measured", "not measured"]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({1: 10, 2: 50, 4: 90, 8: 100, 16: 85, 32: 60}, (4, 16)),
        ({1: 100, 2: 10, 4: 90}, (1, 1)),
        ({3: 5.0}, (3, 3)),
        ({1: 100, 2: 100}, (1, 2)),
    ],
)
def test_cost_is_proportional_where_the_rate_stays_near_its_best(
    rates: dict[int, float], expected: tuple[int, int]
) -> None:
    assert proportional_range(rates) == expected


def test_the_sentence_says_what_the_ends_cost() -> None:
    text = sentence("channels", {16: 25.0, 64: 100.0, 128: 90.0})
    assert "from 64 to 128 channels" in text
    assert "at 16 a MAC costs 4.0×" in text


def test_a_layer_is_measured_by_the_engine_itself() -> None:
    engine = native_engine.build()
    layer = Layer(7, 64, 32, stride=2)
    result = measure([engine], [layer], ["portable"], [1], rounds=2, seconds=0.01)
    figures = result[Setting(layer, "portable", 1)]
    assert len(figures) == 2
    # What bibench-run counted (4×4 outputs, 32 filters of 3×3×64) over the time that it took.
    assert [f.us * f.rate for f in figures] == pytest.approx([4 * 4 * 32 * 9 * 64 / 1e3] * 2)
    assert all(0 < f.percent <= f.best for f in figures)
    assert (
        min(f.best for f in figures) < 200
    )  # a round may meet a machine that was busy while the ceiling was measured
    assert "7×7×64 → 32, stride 2" in show(result)
    assert points(result, lambda layer: layer.size)[7] > 0


def test_the_command_writes_its_part_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nwords\n", encoding="utf-8")
    options = ["--quick", "--section", "layers", "--rounds", "1", "--seconds", "0.01", "--output", str(page)]
    subprocess.run([sys.executable, str(COMMAND), *options], check=True, capture_output=True, timeout=300)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Performance\n\nwords\n")
    assert "56×56×64 → 64" in text
    assert "Load average" in text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--models", "resnet19"], "no architecture 'resnet19'"),
        (["--output", "nowhere/page.md"], "the folder does not exist"),
        (["--output", "half.md"], "must stand in this order"),
    ],
)
def test_what_can_not_be_done_is_said_before_anything_is_measured(
    options: list[str], says: str, tmp_path: Path
) -> None:
    (tmp_path / "half.md").write_text(f"# Title\n{BEGIN}\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(COMMAND), *options], check=False, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
