"""The operator as a process of its own: it starts, works, and ends in order on a signal."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from control_plane import ControlPlane
from ecg_cluster.client import LEASES
from operators import Site, finished, on_a_loop, render_job, start_operator


@on_a_loop
async def test_a_process_renders_logs_and_gives_its_lease_up_on_sigterm(
    plane: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = start_operator(plane.kubeconfig, namespace, log)
    try:
        async with Site(plane.kubeconfig, namespace) as site:
            await site.apply(render_job("clip"))
            await site.until("clip", finished)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, "longer than the kubelet waits"
            lease = await site.cluster.get(LEASES, namespace, "ecg-operator")
            assert lease["spec"]["holderIdentity"] == ""
    finally:
        process.kill()
        process.wait()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    phases = [
        line["message"] for line in lines if line.get("key") == f"{namespace}/clip" and "phase=" in line["message"]
    ]
    assert [phase.split()[0] for phase in phases][-1] == "phase=Succeeded"
    assert not [line for line in lines if line["level"] in ("WARNING", "ERROR")], lines
