"""The real Job controller does what the model of it does, of which the pure tests believe so much."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from control_plane import ControlPlane
from ecg_api.failures import FailureCode
from ecg_api.names import Role
from fake_kubelet import FakeKubelet, Outcome, Pod, fail, succeed
from fates import ENDS, a_node_dies, nodes_always_go_away
from model_cluster import Fates
from model_world import World
from operators import Site, finished, on_a_loop, render_job

SEGMENTS = 4
ONE_MORE_TRY = {"retry": {"perSegment": 1, "disruptions": 1}}
"""The Job controller waits for ten seconds before the second try, and twice as long before each further one."""
Told = tuple[str, str, dict[str, int]]
"""Phase, code of the failure, and how many pods there were for each piece of work."""

OUTCOMES = {
    "ok": lambda pod: succeed(pod, SEGMENTS),
    "mute": lambda pod: replace(succeed(pod, SEGMENTS), message="the last line of its log"),
    "retry": lambda pod: fail(FailureCode.BROWSER_ERROR),
    "fatal": lambda pod: fail(FailureCode.INVALID_VIDEO_FORMAT),
    "oom": lambda pod: Outcome(exit_code=137, ended="OOMKilled"),
    "killed": lambda pod: Outcome(exit_code=137),
    "disrupted": lambda pod: Outcome(disrupted=True),
}


def job_of(fates: Fates) -> str:
    return fates.__name__.replace("_", "-")


def piece(role: Role, segment: int | None) -> str:
    return role.value if segment is None else f"{role.value} {segment}"


class Kubelet:
    """Lets each pod meet the fate that its job is called after."""

    def __init__(self, all_fates: list[Fates]) -> None:
        self.tries: dict[str, Counter[str]] = {job_of(fates): Counter() for fates in all_fates}
        self._fates = {job_of(fates): fates for fates in all_fates}

    def __call__(self, pod: Pod) -> Outcome:
        job = next(name for name in sorted(self._fates, key=len, reverse=True) if pod.job.startswith(f"{name}-"))
        role = Role(pod.role)
        segment = pod.segment if role is Role.SEGMENTS else None
        work = piece(role, segment)
        fate = self._fates[job](role, segment, self.tries[job][work])
        self.tries[job][work] += 1
        return OUTCOMES[fate.kind](pod)


def told(phase: str, code: str, tries: dict[str, int], fates: Fates) -> Told:
    pieces = {work: count for work, count in tries.items() if count and not work.startswith(Role.CLEAN)}
    # How often nodes may go away is counted by node, and by when that is noticed.
    return phase, code, dict.fromkeys(pieces, 0) if fates is nodes_always_go_away else pieces


def by_the_model(fates: Fates) -> Told:
    world = World(0, fates, segments=SEGMENTS, spec=ONE_MORE_TRY)
    world.run()
    tries = {piece(*work): count for work, count in world.tries.items()}
    return told(world.status.phase, world.status.failure.code if world.status.failure else "", tries, fates)


@on_a_loop
async def test_jobs_end_as_the_model_says_with_as_many_pods(
    plane: ControlPlane, kubelet: FakeKubelet, namespace: str
) -> None:
    # A node that dies takes kube-controller-manager six minutes to give up.
    all_fates = [fates for fates, _ in ENDS if fates is not a_node_dies]
    script = kubelet.scripts[namespace] = Kubelet(all_fates)
    found = {}
    async with Site(plane.kubeconfig, namespace) as site, site.operator():
        for fates in all_fates:
            await site.apply(render_job(job_of(fates), **ONE_MORE_TRY))
        for fates in all_fates:
            name = job_of(fates)
            status = (await site.until(name, finished, 90))["status"]
            found[name] = told(status["phase"], status.get("failure", {}).get("code", ""), script.tries[name], fates)
    assert found == {job_of(fates): by_the_model(fates) for fates in all_fates}
