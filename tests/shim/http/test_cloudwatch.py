"""CloudWatch gets the names and units of the earlier server, from the service as it is set, and may be away."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from botocore.stub import ANY, Stubber

from ecg_shim import cloudwatch
from ecg_shim.model import QueueState
from ecg_shim.settings import Settings
from ecg_shim.snapshot import Snapshot
from ecg_shim.variables import SettingsError
from ecg_shim.wiring import standalone_service
from s3 import NO_OTHER_SETTINGS


def wanted(depth: float, percent: float) -> dict[str, object]:
    same = {"Timestamp": ANY, "Dimensions": [{"Name": "Cluster", "Value": "ecg"}]}
    return {
        "Namespace": "ECG/Render",
        "MetricData": [
            {"MetricName": "QueueDepth", "Unit": "Count", "Value": depth, **same},
            {"MetricName": "FrameDropRate", "Unit": "Percent", "Value": percent, **same},
        ],
    }


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """The real client, whose requests are checked against CloudWatch's own model and answered here."""
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "ap-northeast-2"}
    for name, value in {**NO_OTHER_SETTINGS, **keys}.items():
        monkeypatch.setenv(name, value)
    client = cloudwatch._client()
    monkeypatch.setattr(cloudwatch, "_client", lambda: client)
    return Stubber(client)


async def until(stub: Stubber) -> None:
    async with asyncio.timeout(60):
        while stub._queue:  # noqa: ASYNC110 (the client tells nobody)
            await asyncio.sleep(0.01)


def test_figures_are_told_each_time_and_a_refusal_is_told_once_and_got_over(
    stub: Stubber, caplog: pytest.LogCaptureFixture
) -> None:
    moments = iter([None, (7, 0.0125), (0, 0.0), (0, 0.0), (1, 1.0)])

    def snapshot() -> Snapshot:
        moment = next(moments, (1, 1.0))
        if moment is None:
            raise OSError("the queue is not there yet")
        pending, drops = moment
        return Snapshot(QueueState(pending, 0, 0, 3, 0), {}, drop_rate=drops)

    async def told() -> None:
        task = asyncio.create_task(
            cloudwatch.CloudWatch(snapshot, "ECG/Render", {"Cluster": "ecg"}, seconds=0.05).run()
        )
        await until(stub)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stub.add_response("put_metric_data", {}, wanted(7, 1.25))
    for _ in range(2):
        stub.add_client_error("put_metric_data", "AccessDenied", "not you", 403, expected_params=wanted(0, 0.0))
    stub.add_response("put_metric_data", {}, wanted(1, 100.0))
    with stub, caplog.at_level(logging.WARNING):
        asyncio.run(told())
    said = [record.message for record in caplog.records if "AccessDenied" in record.message]
    assert len(said) == 1 and said[0].startswith("CloudWatch does not get the service's figures: ")
    assert "CloudWatch does not get the service's figures: the queue is not there yet" in caplog.text


def test_the_endpoint_of_another_s3_server_is_not_that_of_cloudwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**NO_OTHER_SETTINGS, "AWS_DEFAULT_REGION": "ap-northeast-2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.s3:9000")
    assert cloudwatch._client().meta.endpoint_url == "https://monitoring.ap-northeast-2.amazonaws.com"
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "https://vpce-1.monitoring.example.com")
    assert cloudwatch._client().meta.endpoint_url == "https://vpce-1.monitoring.example.com"


def test_a_service_that_is_set_so_tells_from_its_start_and_others_nothing(stub: Stubber, tmp_path: Path) -> None:
    given = {"ECG_DATA_DIR": str(tmp_path), "TEMP_DIR": str(tmp_path), "ECG_CLOUDWATCH_DIMENSIONS": "Cluster=ecg"}

    async def serve(environment: dict[str, str]) -> None:
        async with standalone_service(Settings.from_environment(environment), "http://localhost:1").behind:
            await until(stub)

    stub.add_response("put_metric_data", {}, wanted(0, 0.0))
    with stub:
        asyncio.run(serve({**given, "ECG_CLOUDWATCH_NAMESPACE": "ECG/Render"}))
        asyncio.run(serve(given))
        stub.assert_no_pending_responses()
    with pytest.raises(SettingsError, match="ECG_CLOUDWATCH_DIMENSIONS is 'Cluster'; it must be NAME=VALUE pairs"):
        Settings.from_environment({"ECG_CLOUDWATCH_DIMENSIONS": "Cluster"})
