"""Conversion on a real Dask cluster: scheduler and workers are processes that know each other's addresses only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bibench_deploy.errors import InfrastructureError
from bibench_deploy.nightly import pools
from bibench_deploy.nightly.conversion import Task, convert_stale, stale
from support.addresses import own_address
from support.cli_nets import write_net
from support.extras import needs

needs("distributed", "dask")

pytestmark = pytest.mark.slow
PATIENCE_S = 60.0
#: In place of ``pools.CONNECT_S`` where it is to pass: a busy machine connects within it.
SHORT_S = 4.0


def own_url() -> str:
    address, port = own_address()
    return f"tcp://{address}:{port}"


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """``dask …`` in a folder of its own, with its own log."""
    folder.mkdir(parents=True)
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        ) as started,
    ):
        try:
            yield started
        finally:
            started.kill()


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    address = own_url()
    with ExitStack() as stack:
        scheduler = ("scheduler", "--host", address, "--no-dashboard")
        stack.enter_context(process(folder / "scheduler", *scheduler))
        started = [
            stack.enter_context(
                process(
                    folder / f"worker{number}",
                    *("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"),
                    *("--local-directory", str(folder)),
                )
            )
            for number in range(workers)
        ]
        yield address, started


def test_a_worker_that_is_killed_costs_nothing(tmp_path: Path) -> None:
    models = [write_net(tmp_path / f"{name}.onnx", layers=1) for name in "abcdef"]
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    xnor = write_net(tmp_path / "xnor.onnx", layers=1, runtime_factor=True)
    todo = [
        *(Task(model, "native", twin=False) for model in models),
        Task(xnor, "dabnn", twin=False),
        Task(tmp_path / "damaged.onnx", "native", twin=False),
    ]
    workspace = tmp_path / "workspace"
    with cluster(tmp_path / "cluster", 2) as (address, workers):

        def said(message: str) -> None:
            workers[0].kill()

        result = convert_stale(todo, workspace, pools.pool(address), said)
    assert {model for model, _, _ in result.artefacts} == set(models)
    assert list(result.refused) == [(xnor, "dabnn")]
    assert [model.name for model, _ in result.failed] == ["damaged.onnx"]
    assert stale(todo[:-1], workspace) == ()


def test_a_cluster_that_is_gone_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # So many that the worker is killed before it has done all.
    todo = [Task(write_net(tmp_path / f"{name}.onnx", layers=1), "native", twin=False) for name in "abcdefgh"]
    with cluster(tmp_path / "cluster", 1) as (address, workers):

        def said(message: str) -> None:
            monkeypatch.setattr(pools, "CONNECT_S", SHORT_S)
            workers[0].kill()

        with pytest.raises(InfrastructureError, match="no workers"):
            convert_stale(todo, tmp_path, pools.pool(address), said)
    assert 0 < len(stale(todo, tmp_path)) < len(todo), "what was done before is kept"


def test_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "CONNECT_S", 0.5)
    for address in (own_url(), "nonsense://x"):
        with pytest.raises(InfrastructureError) as caught, pools.dask(address):
            pytest.fail("it is open")
        assert caught.value.where == f"--dask {address}"
        assert caught.value.remedy


def test_a_scheduler_without_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with cluster(tmp_path / "cluster", 0) as (address, _):
        host, port = address.removeprefix("tcp://").split(":")
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection((host, int(port))).close()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        monkeypatch.setattr(pools, "CONNECT_S", SHORT_S)
        with pytest.raises(InfrastructureError, match="no workers"), pools.dask(address):
            pytest.fail("it is open")
