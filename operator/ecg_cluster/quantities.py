"""Amounts as Kubernetes writes them."""

from __future__ import annotations

from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

LARGEST_AMOUNT = Decimal(2**63 - 1)
"""As Kubernetes has it: 1e99 is a quantity, too."""


def amount(quantity: str | int) -> Decimal:
    """Return how much of a resource 2, 500m, 1k or 4Gi is, at most LARGEST_AMOUNT; 0 for what is no such number."""
    try:
        found: Decimal = parse_quantity(quantity)  # type: ignore[no-untyped-call]
    except ValueError:
        return Decimal(0)
    return min(found, LARGEST_AMOUNT) if found.is_finite() else Decimal(0)


def millis(quantity: str | int) -> int:
    """Return a number of CPUs, such as 500m, 2 or 1.5, in thousandths; 0 for what is no such number."""
    return round(1000 * amount(quantity))
