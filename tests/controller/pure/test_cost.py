"""What a job costs: the table, a pod's share of its node, and what is summed up on the status."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ecg_api.failures import FailureCode
from ecg_api.names import Role
from ecg_api.status import Cost
from ecg_operator.model import Observation
from ecg_operator.prices import NodeView, Prices, pod_micros
from observations import POLICY, decided, ended_pod, failure_report, merge_report, merging, rendering, segment_report

G6 = NodeView(instance_type="g6.2xlarge", spot=False, cpu_millis=8000, gpus=1)
PRICES = Prices.model_validate({"hourly": {"g6.2xlarge": "0.978", "g6.2xlarge/spot": "0.39"}})
PRICED = replace(POLICY, prices=PRICES)


def cost_of(observation: Observation) -> Cost:
    usage = decided(observation, PRICED).status.usage
    assert usage is not None and usage.cost is not None
    return usage.cost


@pytest.mark.parametrize(
    ("node", "hour"),
    [
        (G6, "0.978"),
        (replace(G6, spot=True), "0.39"),
        (replace(G6, instance_type="c7a.large"), None),
    ],
)
def test_the_price_is_that_of_the_type_and_of_spot_if_it_has_one(node: NodeView, hour: str | None) -> None:
    assert PRICES.hour_of(node) == (Decimal(hour) if hour else None)
    table = PRICES.model_copy(update={"otherwise": Decimal("1.5"), "hourly": {"g6.2xlarge": Decimal(1)}})
    wanted = Decimal("1.5") if node.instance_type == "c7a.large" else Decimal(1)
    assert table.hour_of(node) == wanted, "a spot node without an entry of its own counts as on demand"


@pytest.mark.parametrize(
    ("gpus", "cpu_millis", "micros"),
    [
        (1, 3000, 48_900),  # all of its GPUs: all of the node
        (0, 2000, 12_225),
        (0, 16_000, 48_900),
        (0, 0, 0),
    ],
)
def test_a_pod_pays_for_the_larger_of_its_shares(gpus: int, cpu_millis: int, micros: int) -> None:
    assert pod_micros(Decimal("0.978"), G6, gpus, cpu_millis, 180) == micros
    shared = replace(G6, gpus=4)
    assert pod_micros(Decimal("0.978"), shared, 1, 1000, 180) == 12_225


def test_a_job_costs_what_its_pods_do_and_lost_ones_are_waste() -> None:
    lost = failure_report(FailureCode.CONNECTION_ERROR)
    pods = (
        ended_pod(Role.SEGMENTS, segment_report(0), 0, seconds=36, node="a"),
        ended_pod(Role.SEGMENTS, lost, 1, seconds=72, node="a"),
        ended_pod(Role.SEGMENTS, segment_report(2), 2, seconds=36, node="gone"),
    )
    found = cost_of(replace(rendering(), pods=pods, nodes={"a": G6}))
    assert (found.total_micros, found.wasted_micros, found.unpriced_pods) == (29_340, 19_560, 1)
    assert (found.total, found.per_minute_micros) == ("0.0293 USD", None)


def test_a_finished_video_has_a_price_for_the_minute() -> None:
    merge = ended_pod(Role.MERGE, merge_report(), seconds=36, node="a", cpu_millis=8000)
    before = merging()
    found = cost_of(replace(before, pods=(merge,), nodes={"a": G6}))
    assert found.total_micros == 9780
    assert found.per_minute_micros == round(9780 * 60 / 13.3)


def test_without_a_table_there_is_no_word_of_money() -> None:
    usage = decided(replace(rendering(), pods=(ended_pod(Role.SEGMENTS, segment_report(0), 0),))).status.usage
    assert usage is not None and usage.cost is None
