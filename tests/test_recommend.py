"""Which algorithm and engine to take: accuracy first, within limits, measured before published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bibench_deploy.recommend import Candidate, Limits, measured, published, recommend
from bibench_deploy.results import Store
from bibench_deploy.results.row import HostFacts
from bibench_deploy.tracks.published import raw_tables
from support.command import bibench, bibench_here
from support.rows import make_row


def candidate(
    algorithm: str,
    latency_ms: float,
    accuracy: float | None = None,
    size_bytes: int | None = 1000,
    network: str = "net",
    trusted: bool = True,
    is_measured: bool = True,
) -> Candidate:
    return Candidate(
        network=network,
        dataset="data",
        algorithm=algorithm,
        engine="native",
        threads=1,
        latency_ms=latency_ms,
        size_bytes=size_bytes,
        accuracy=accuracy,
        measured=is_measured,
        trusted=trusted,
        rests_on="a table",
    )


BNN, RECU, REACTNET = candidate("bnn", 10, 50), candidate("recu", 10, 55), candidate("reactnet", 20, 60, 2000)
FP32 = candidate("fp32", 90, 70, 9000)


@pytest.mark.parametrize(
    ("limits", "choice", "others"),
    [
        (Limits(), REACTNET, (RECU,)),  # bnn is beaten by recu
        (Limits(latency_ms=15), RECU, ()),
        (Limits(size_bytes=1500), RECU, ()),
        (Limits(latency_ms=5), None, ()),
        (Limits(latency_ms=15, size_bytes=500), None, ()),
    ],
)
def test_the_best_accuracy_within_the_limits(
    limits: Limits, choice: Candidate | None, others: tuple[Candidate, ...]
) -> None:
    (answer,) = recommend([BNN, RECU, REACTNET, FP32], limits)
    assert (answer.choice, answer.others, answer.full_precision) == (choice, others, FP32)
    assert answer.fastest in (BNN, RECU)


def test_an_unstable_latency_beats_nothing() -> None:
    shaky = candidate("bireal", 1, 99, trusted=False)
    (answer,) = recommend([BNN, shaky], Limits())
    assert (answer.choice, answer.others) == (BNN, (shaky,))


def test_a_size_that_is_not_known_is_not_within_a_limit() -> None:
    unknown = candidate("bnn", 1, 50, size_bytes=None)
    (answer,) = recommend([unknown], Limits(size_bytes=10**9))
    assert answer.choice is None


def test_a_no_tells_what_would_do() -> None:
    slow_and_small, fast_and_large = candidate("bnn", 20, 50, 100), candidate("recu", 5, 50, 900)
    both = [slow_and_small, fast_and_large, candidate("fda", 20, 90, 900)]
    (answer,) = recommend(both, Limits(latency_ms=10, size_bytes=200))
    assert (answer.nearest, answer.unknown) == ((slow_and_small, fast_and_large), None)
    (answer,) = recommend(both, Limits(latency_ms=1, size_bytes=10))
    assert (answer.choice, answer.nearest, answer.fastest) == (None, (), fast_and_large)
    unknown = candidate("reactnet", 5, 60, None)
    (answer,) = recommend([*both, unknown], Limits(latency_ms=10, size_bytes=200))
    assert answer.unknown == unknown


def test_networks_are_not_mixed_and_measured_ones_go_first() -> None:
    printed = candidate("bnn", 1, 99, network="a", is_measured=False)
    answers = recommend([printed, BNN], Limits())
    assert [answer.network for answer in answers] == ["net", "a"]
    assert recommend([FP32], Limits()) == []


def test_the_papers_figures_of_a_chip() -> None:
    found = published("Raspberry Pi 4B", raw_tables())
    one = next(
        c for c in found if (c.network, c.algorithm, c.engine, c.threads) == ("resnet18", "dorefa", "larq", 1)
    )
    same = next(
        c for c in found if (c.network, c.algorithm, c.engine, c.threads) == ("resnet18", "bnn", "larq", 1)
    )
    assert one.latency_ms == same.latency_ms
    assert (one.dataset, one.size_bytes, one.measured) == ("ImageNet", None, False)
    assert one.accuracy != same.accuracy
    assert {c.algorithm for c in found} == {"fp32", "bnn", "dorefa", "bireal", "recu", "fda", "reactnet"}
    assert published("Raspberry Pi 5", raw_tables()) == []


def test_only_the_last_verified_measurement_counts() -> None:
    first = make_row(samples_ns=[9_000_000] * 9)
    last = make_row(samples_ns=[5_000_000] * 9, measured_at=first.measured_at.replace(year=2030))
    unverified = make_row(sha256="f" * 64, verified=False)
    invalid = make_row(
        samples_ns=[1_000_000] * 3, verdict="invalid", measured_at=last.measured_at.replace(year=2031)
    )
    (found,) = measured([last, first, unverified, invalid])
    assert found.latency_ms == 5
    assert found.size_bytes == first.size_bytes
    assert measured([invalid]) == []


def test_more_threads_than_cores_are_no_advice() -> None:
    """A hundredth faster with 8 threads on 4 cores is chance."""
    four, eight = make_row(threads=4), make_row(threads=8, samples_ns=[9_900_000] * 30)
    assert [found.threads for found in measured([four, eight])] == [4]


def test_other_cores_and_other_machines_are_other_measurements() -> None:
    little = make_row(cpus="little")
    there = make_row(host=HostFacts(cpu="another", arch="aarch64", cores=4, system="Linux 6.1"))
    found = measured([make_row(), little, there])
    assert [one.cpus for one in found] == [None, "little", None]
    assert {one.rests_on.partition(",")[0] for one in found} == {
        "measured on local (a processor)",
        "measured on local (another)",
    }


def test_the_command_rests_on_measurements_and_says_so(tmp_path: Path) -> None:
    row = make_row(device="rpi4", variant="reactnet", samples_ns=[7_000_000] * 9)
    Store.of_workspace(tmp_path).append([row])
    done = bibench(
        "recommend", "--device", "rpi4", "--from", "measured", "--workspace", tmp_path, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"take reactnet with {row.engine}" in done.stdout
    assert f"rests on: measured on rpi4, {row.measured_at:%Y-%m-%d}" in done.stdout


def test_the_command_answers_no_with_what_would_do(tmp_path: Path) -> None:
    done = bibench_here("recommend", "--device", "kirin990", "--max-latency", "1", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing keeps within the limits" in done.stderr
    assert "1.54 ms" in done.stderr
    assert all(answer["choice"] is None for answer in json.loads(done.stdout)["recommendations"])


def test_a_size_that_the_paper_does_not_print_is_not_called_too_large(tmp_path: Path) -> None:
    done = bibench_here(
        "recommend", "--device", "rpi4", "--max-latency", "20", "--max-size", "1", cwd=tmp_path
    )
    assert done.returncode == 1
    assert "nothing is known to keep within the limits" in done.stderr
    assert "the paper prints no sizes" in done.stderr
    assert "of unknown size: recu with larq, 4 threads, 5.06 ms" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "rpi5"), "the paper has no figures of it"),
        (("--device", "toaster"), "toaster"),
        (("--device", "rpi4", "--max-latency", "-3"), "--max-latency"),
        (("--device", "rpi4", "--max-size", "nan"), "--max-size"),
        (("--device", "rpi4", "--from", "hearsay"), "--from"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    done = bibench_here("recommend", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
