"""What a pod costs: its share of its node, for as long as it ran. Pure arithmetic, in millionths of a currency."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from ecg_api.base import ApiModel

MICROS = 1_000_000
SPOT = "/spot"

Amount = Annotated[Decimal, Field(ge=0, le=100_000, decimal_places=6)]


@dataclass(frozen=True, slots=True)
class NodeView:
    """What a node is, as far as its price depends on it.

    Attributes:
        spot: it may be taken away, and costs less.
        cpu_millis: CPUs that pods may have, in thousandths.
        gpus: GPUs, or shares of them, that pods may have.
    """

    instance_type: str
    spot: bool
    cpu_millis: int
    gpus: int


class Prices(ApiModel):
    """The table.

    Attributes:
        hourly: by instance type, such as g6.2xlarge; of spot nodes g6.2xlarge/spot goes before.
        otherwise: of nodes of other types; None: pods on them have no cost that is known.
    """

    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    hourly: dict[str, Amount] = Field(default_factory=dict)
    otherwise: Amount | None = None

    def hour_of(self, node: NodeView) -> Decimal | None:
        """Return what an hour of a whole node costs."""
        spot = self.hourly.get(node.instance_type + SPOT) if node.spot else None
        return spot if spot is not None else self.hourly.get(node.instance_type, self.otherwise)


def pod_micros(hour: Decimal, node: NodeView, gpus: int, cpu_millis: int, seconds: float) -> int:
    """Return what a pod costs that asks for so much of `node` for so long: by the larger of its shares."""
    shares = [Decimal(asked) / has for asked, has in ((gpus, node.gpus), (cpu_millis, node.cpu_millis)) if has]
    share = min(max(shares, default=Decimal(1)), Decimal(1))
    return round(hour * share * Decimal(seconds) / 3600 * MICROS)
