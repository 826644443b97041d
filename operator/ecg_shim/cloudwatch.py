"""CloudWatch: how many jobs wait, and how many frames were dropped, under the names of the earlier server.

    namespace ECG/Render    QueueDepth (Count)    FrameDropRate (Percent)

Told once a minute by the replica that tells callbacks, so that each figure is there once. A CloudWatch that is away or
refuses costs nothing but that minute: figures of a queue are of no use later.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ecg_shim.snapshot import Snapshot

log = logging.getLogger(__name__)

SECONDS = 60.0


class CloudWatch:
    """Tells the figures of a service.

    Args:
        dimensions: that each figure has, such as the cluster's name; part of a figure's identity there.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], namespace: str, dimensions: dict[str, str], seconds: float = SECONDS
    ) -> None:
        self._snapshot = snapshot
        self._namespace = namespace
        self._dimensions = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        self._seconds = seconds
        self._client: Any = None
        self._refused = ""

    async def run(self) -> None:
        """Tell them for ever."""
        while True:
            await self._tell()
            await asyncio.sleep(self._seconds)

    async def _tell(self) -> None:
        try:
            now = self._snapshot()
            figures = (("QueueDepth", "Count", now.queue.pending), ("FrameDropRate", "Percent", 100 * now.drop_rate))
            await asyncio.to_thread(self._put, datetime.now(UTC), figures)
        except Exception as error:  # whatever it is: the service goes on
            if str(error) != self._refused:
                log.warning("CloudWatch does not get the service's figures: %s", error)
            self._refused = str(error)
        else:
            self._refused = ""

    def _put(self, moment: datetime, figures: tuple[tuple[str, str, float], ...]) -> None:
        self._client = self._client or _client()
        data = [
            {"MetricName": name, "Unit": unit, "Value": value, "Timestamp": moment, "Dimensions": self._dimensions}
            for name, unit, value in figures
        ]
        self._client.put_metric_data(Namespace=self._namespace, MetricData=data)


def _client() -> Any:
    # Imported here: it takes half a second, and few services need it.
    import boto3
    from botocore.config import Config

    brief = Config(
        connect_timeout=3,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 2},
        # AWS_ENDPOINT_URL is that of another S3 server, which is no CloudWatch.
        ignore_configured_endpoint_urls=not os.environ.get("AWS_ENDPOINT_URL_CLOUDWATCH"),
    )
    return boto3.session.Session().client("cloudwatch", config=brief)
