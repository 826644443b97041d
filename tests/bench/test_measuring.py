"""CPU of a whole process tree, and the processes it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cgroup import Cgroup, cgroup, parents
from bench.errors import BenchError
from bench.measure import measure
from bench.observer import cpu_of, kind_of
from bench.timeline import Timeline

PURE_V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
HYBRID = """\
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw"""
BURN = "import time\nend = time.process_time() + {0}\nwhile time.process_time() < end: pass"


@pytest.mark.parametrize(
    ("mounts", "membership", "expected"),
    [
        (
            PURE_V2,
            "0::/user.slice/run-7.scope",
            [Cgroup(Path("/sys/fs/cgroup/user.slice/run-7.scope"), 2)],
        ),
        (
            HYBRID,
            "3:freezer:/ice\n2:cpu,cpuacct:/session\n0::/init",
            [
                Cgroup(Path("/sys/fs/cgroup/unified/init"), 2),
                Cgroup(Path("/sys/fs/cgroup/cpu,cpuacct/session"), 1),
            ],
        ),
        ("21 1 0:19 / /proc rw - proc proc rw", "", []),
    ],
    ids=["version 2 alone", "both versions", "none"],
)
def test_control_groups_are_made_below_our_own(mounts: str, membership: str, expected: list[Cgroup]) -> None:
    assert parents(mounts, membership) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_a_child_that_nobody_waits_for_is_counted(version: int, tmp_path: Path) -> None:
    burning = f"import os\nif os.fork() == 0: os._exit(exec({BURN.format(0.3)!r}))"
    orphaning = f"import os, time\nif os.fork() == 0:\n    exec({burning!r})\n    os._exit(0)\ntime.sleep(0.6)"
    try:
        with cgroup("ecg-bench-test", version) as group:
            os.spawnv(os.P_WAIT, "/bin/sh", group.entering([sys.executable, "-c", orphaning]))
            assert group.drain(patience=60.0) == []
            assert group.cpu_seconds() > 0.3
    except BenchError as error:
        pytest.skip(str(error))
    assert not group.path.exists()


@pytest.fixture
def _measurable() -> None:
    try:
        with cgroup("ecg-bench-probe"):
            pass
    except BenchError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_measurable")
def test_a_measurement_tells_wall_cpu_and_output(tmp_path: Path) -> None:
    # It is there for a while after it has worked: who looks at it now and then, on a busy machine, has seen all of it.
    measured = measure(
        [sys.executable, "-c", BURN.format(0.4) + "\nprint(time.process_time())\ntime.sleep(2)"], tmp_path
    )
    used = float(measured.stdout)
    assert 0.4 <= used <= measured.cpu < 2 * used, "counted once"
    assert measured.wall >= 0.4
    assert measured.seen.cpu["python"] == pytest.approx(measured.cpu, abs=0.2)


@pytest.mark.usefixtures("_measurable")
def test_a_process_that_outlives_its_command_is_counted_and_killed(tmp_path: Path) -> None:
    (tmp_path / "leak").write_text("sleep 60 & echo $!")
    measured = measure(["/bin/sh", "leak"], tmp_path)
    assert measured.leaked == 1
    deadline = time.monotonic() + 60
    while Path(f"/proc/{measured.stdout.strip()}/cmdline").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{measured.stdout.strip()}/cmdline").exists()


@pytest.mark.usefixtures("_measurable")
def test_a_failing_command_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"(?s)ended with 3:.*no such file as clip"):
        measure(["/bin/sh", "-c", "echo no such file as clip >&2; exit 3"], tmp_path)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        (b"ffmpeg\0-i\0clip.mp4\0", "ffmpeg"),
        (b"/usr/bin/ffprobe\0-v\0error\0", "ffprobe"),
        (b"/venv/bin/python3.11\0/venv/bin/ecg-render\0run\0", "python"),
        (b"/venv/lib/playwright/driver/node\0cli.js\0", "node"),
        (b"/usr/lib/chromium/chromium-headless-shell\0--no-sandbox\0", "chromium browser"),
        (b"/usr/lib/chromium/chromium-headless-shell --type=renderer --lang=en\0", "chromium renderer"),
        (b"/usr/bin/chromium-headless-shell\0--type=gpu-process\0--x\0", "chromium gpu"),
        (b"/bin/sh\0-c\0true\0", "other"),
    ],
)
def test_a_process_is_known_by_its_command_line(command: bytes, kind: str) -> None:
    assert kind_of(command) == kind


def test_cpu_is_read_from_behind_a_name_with_blanks_and_brackets() -> None:
    fields = "S 1 1 1 0 -1 0 0 0 0 0 250 150 0 0 20 0 1 0 9"
    assert cpu_of(f"77 (a) 9 b) {fields}") == 400 / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize(("phase", "failed"), [("Succeeded", ""), ("Failed", "clip-0 has not succeeded: ")])
def test_a_job_in_the_cluster_is_over_however_it_ends_and_no_log_is_followed_after_it(phase: str, failed: str) -> None:
    timeline = Timeline("clip-0", Path("kubeconfig"))
    timeline.job_seen({"status": {"phase": phase, "conditions": [{"type": "Finished", "status": "True"}]}})
    assert timeline.done.is_set() and timeline.failed.startswith(failed) and bool(timeline.failed) == bool(failed)
    for pod, ends in (("one", "0"), ("two", "60")):
        timeline.logs[pod] = subprocess.Popen(["sleep", ends], stdout=subprocess.PIPE, text=True)
    timeline.logs["one"].communicate(timeout=20)
    timeline.stop()
    assert [log.returncode for log in timeline.logs.values()] == [0, -9]
