"""Jobs are measured in turns; one that fails costs no other; a crashed or silent process is a named error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bibench_deploy import errors
from bibench_deploy.errors import BibenchError, EngineError
from bibench_deploy.runners import measure as module
from bibench_deploy.runners.context import RunContext
from bibench_deploy.runners.measure import Failure, Job, Measurement, Statistic, Worker, measure, restore
from bibench_deploy.runners.timing import (
    MOST_TURNS,
    NS_PER_SECOND,
    SETTLED_TURNS,
    TURNS,
    MeasureRule,
    StopRule,
)
from bibench_deploy.runners.worker import describe, time_runs

FP32, BNN = Job(Path("fp32.tflite"), 1), Job(Path("bnn.tflite"), 1)


class Fake:
    """A worker whose runs take a known time; logs the order of turns."""

    def __init__(self, job: Job, log: list[str], run_ns: int = NS_PER_SECOND, fails: bool = False) -> None:
        self.job, self.log, self.run_ns, self.fails = job, log, run_ns, fails
        self.kernel: str | None = "fake"
        self.warmup_runs = 3
        self.statistic: Statistic = "samples"
        self.turns = 0

    def turn(self, rule: StopRule) -> list[int]:
        if self.fails:
            raise EngineError("crashed")
        self.log.append(self.job.artefact.stem)
        self.turns += 1
        samples: list[int] = []
        while not rule.enough(samples):
            samples.append(self.run_ns)
        return samples

    def context(self) -> RunContext:
        return RunContext(governor=f"after {self.turns} turns")

    def close(self) -> None:
        self.log.append(f"close {self.job.artefact.stem}")


class Varying(Fake):
    """A worker whose n-th turn is one run of the n-th length."""

    def __init__(self, job: Job, log: list[str], lengths_ns: Sequence[int]) -> None:
        super().__init__(job, log)
        self.lengths_ns = lengths_ns

    def turn(self, rule: StopRule) -> list[int]:
        self.log.append(self.job.artefact.stem)
        self.turns += 1
        return [self.lengths_ns[self.turns - 1]]


def run(jobs: Sequence[Job], rule: MeasureRule, log: list[str], failing: Job | None = None) -> list[object]:
    return list(measure(jobs, rule, open_worker=lambda job: Fake(job, log, fails=job == failing)))


def rule(runs: int = TURNS, run_ns: int = NS_PER_SECOND) -> MeasureRule:
    """Enough after so many runs of this length, in turns of one or more."""
    return MeasureRule(runs * run_ns / NS_PER_SECOND, runs, max_seconds=3600)


def test_members_of_a_pair_take_turns() -> None:
    log: list[str] = []
    results = run([FP32, BNN], rule(), log)
    turns = [entry for entry in log if not entry.startswith("close")]
    # Runs of a second are warm after two of them.
    assert turns == ["fp32", "bnn"] * (2 + TURNS)
    assert all(isinstance(result, Measurement) and len(result.samples_ns) == TURNS for result in results)


def test_turns_before_the_first_sample_are_warm_up() -> None:
    quick = NS_PER_SECOND // 100
    (result,) = measure([BNN], rule(2 * TURNS, quick), open_worker=lambda job: Fake(job, [], run_ns=quick))
    assert isinstance(result, Measurement)
    assert result.warmup_runs == 3 + 2 * SETTLED_TURNS
    assert result.turns_ns == ((quick, quick),) * TURNS
    assert result.context.governor == f"after {SETTLED_TURNS + TURNS} turns"


def test_the_turns_of_a_pair_are_of_the_same_rounds() -> None:
    """One is warm and precise at once, the other neither: every turn of the one has its turn of the other."""
    log: list[str] = []
    steady, uneasy = [100] * 99, [300, 250, 200, 160, 130, *[100, 104] * 8, *[100] * 99]

    def opener(job: Job) -> Fake:
        return Varying(job, log, steady if job == FP32 else uneasy)

    first, second = measure([FP32, BNN], MeasureRule(0, 1, max_seconds=3600), open_worker=opener)
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert first.block == second.block
    assert len(first.turns_ns) == len(second.turns_ns) > TURNS
    timed = 2 * len(first.turns_ns)
    turns = [entry for entry in log if not entry.startswith("close")]
    assert turns[-timed:] == ["fp32", "bnn"] * (timed // 2)
    # Who is warm has no turn until the other is warm, too.
    assert turns[:-timed].count("fp32") == SETTLED_TURNS
    assert second.warmup_runs > first.warmup_runs


def test_who_has_used_up_the_time_ends_before_the_others() -> None:
    slow = [NS_PER_SECOND] * 99

    def opener(job: Job) -> Fake:
        return Varying(job, [], slow if job == FP32 else [100, 130] * 99)

    rule = MeasureRule(0, 1, max_seconds=float(TURNS))
    first, second = measure([FP32, BNN], rule, open_worker=opener)
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert (first.job, len(first.turns_ns), len(second.turns_ns)) == (FP32, TURNS, MOST_TURNS)


def test_numbers_of_threads_take_turns_and_are_blocks_of_their_own() -> None:
    log: list[str] = []
    jobs = [Job(Path("bnn1.tflite"), 1), Job(Path("bnn2.tflite"), 2)]
    first, second = run(jobs, rule(), log)
    assert log[:4] == ["bnn1", "bnn2"] * 2
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert first.block != second.block


def test_every_worker_is_closed() -> None:
    log: list[str] = []
    run([FP32, BNN], rule(), log, failing=BNN)
    assert {"close fp32", "close bnn"} <= set(log)


def test_a_measurement_carries_what_ran_and_how_often() -> None:
    (result,) = run([BNN], rule(), [])
    assert isinstance(result, Measurement)
    assert (result.job, result.kernel, result.warmup_runs) == (BNN, "fake", 3 + 2)
    assert result.samples_ns == (NS_PER_SECOND,) * TURNS


def test_a_job_that_fails_costs_no_other() -> None:
    results = run([FP32, BNN], rule(), [], failing=FP32)
    failed, measured = results
    assert isinstance(failed, Failure)
    assert failed.job == FP32
    assert isinstance(measured, Measurement)
    assert measured.job == BNN


def test_a_job_that_can_not_be_opened_costs_no_other() -> None:
    def opener(job: Job) -> Fake:
        if job == FP32:
            raise EngineError("refused")
        return Fake(job, [])

    kinds = [type(result) for result in measure([FP32, BNN], rule(), open_worker=opener)]
    assert kinds == [Failure, Measurement]


def test_runs_are_timed_one_by_one_until_the_rule_has_enough() -> None:
    ticks = iter(range(0, 1000, 7))
    calls: list[None] = []
    samples = time_runs(lambda: calls.append(None), StopRule(28e-9, 2), clock=lambda: next(ticks))
    assert samples == [7] * 4
    assert len(calls) == 4


def worker(code: str) -> Worker:
    return Worker(BNN, command=(sys.executable, "-c", code))


def test_a_crashed_process_is_an_error_with_its_signal() -> None:
    with pytest.raises(EngineError, match="killed by signal 11"):
        worker("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")


def test_a_process_that_ends_is_an_error_with_its_last_words() -> None:
    with pytest.raises(EngineError, match="exit code 3: out of cheese"):
        worker("import sys; print('out of cheese', file=sys.stderr); sys.exit(3)")


def test_a_crash_half_way_is_an_error() -> None:
    answer = '{"kernel": null, "warmup_runs": 1, "usage": {}}'
    running = worker(f"import sys; sys.stdin.readline(); print('{answer}', flush=True); sys.exit(1)")
    with running, pytest.raises(EngineError, match="exit code 1"):
        running.turn(StopRule(1, 1))


def test_a_silent_process_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 0.2)
    with pytest.raises(EngineError, match="gave no answer"):
        worker("import time; time.sleep(600)")


@pytest.mark.parametrize(
    "error",
    [
        errors.EngineError("refused", where="a.tflite", remedy="convert it again"),
        errors.ArtefactError("damaged", where="a.tflite"),
        errors.MissingExtraError("larq", "the engine"),
    ],
)
def test_an_error_of_a_worker_arrives_with_its_words_and_exit_code(error: BibenchError) -> None:
    again = restore(describe(error))
    assert str(again) == str(error)
    assert again.exit_code == error.exit_code


def test_an_unknown_error_of_a_worker_is_the_engines() -> None:
    again = restore({"type": "annotations", "message": "m", "where": None, "remedy": None})
    assert isinstance(again, EngineError)
