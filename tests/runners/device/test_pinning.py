"""What a session starts on a device runs on the cores that were asked for: real shells and the real ``taskset``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bibench_deploy.errors import DeviceUnfitError, InputError
from bibench_deploy.runners.clusters import ranges
from bibench_deploy.runners.device.context import context_of
from bibench_deploy.runners.device.engine import Script
from support.here_as_device import HereAsDevice

pytestmark = pytest.mark.skipif(
    shutil.which("taskset") is None or not hasattr(os, "sched_getaffinity"), reason="taskset is not installed"
)
ALLOWED = Script('grep "^Cpus_allowed_list" /proc/self/status', {})


@pytest.mark.parametrize("scratch", [False, True])
def test_a_step_is_pinned_and_the_row_says_so(tmp_path: Path, scratch: bool) -> None:
    last = max(os.sched_getaffinity(0))
    with HereAsDevice(tmp_path).session(cpus=str(last)) as session:
        pushed = session.ensure(Path(__file__))  # which makes the work folder
        done = session.run(ALLOWED, {"model": pushed}, "looking", scratch=scratch)
        assert done.stdout.split()[-1] == str(last).encode()
        assert (session.host.cores, session.asked_cpus) == (1, str(last))
        assert context_of(session.facts, None, session.cpus).affinity == str(last)


def test_without_a_request_nothing_is_pinned(tmp_path: Path) -> None:
    with HereAsDevice(tmp_path).session() as session:
        done = session.run(ALLOWED, {}, "looking")
        assert done.stdout.split()[-1].decode() == ranges(os.sched_getaffinity(0))


def test_cores_that_are_not_there_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="box, --cpus: '900': there is no core 900"):
        HereAsDevice(tmp_path).session(cpus="900").open()


def test_a_device_without_taskset_says_what_it_lacks(tmp_path: Path) -> None:
    here = HereAsDevice(tmp_path)
    with here.session(cpus="all") as session:
        fewer = tmp_path / "bin"
        fewer.mkdir()
        (fewer / "taskset").write_text("#!/bin/sh\necho 'taskset: not permitted' >&2\nexit 1\n")
        (fewer / "taskset").chmod(0o755)
        broken = Script(ALLOWED.text, {"PATH": f"{fewer}:{os.environ['PATH']}"})
        with pytest.raises(DeviceUnfitError, match=r"can't be pinned to cores .* \(taskset: not permitted\)"):
            session.run(broken, {}, "looking")
