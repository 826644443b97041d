"""What can end the operator.

OperatorError
 ├─ SettingsProblem     an environment variable is missing or wrong: exit 78
 └─ LeaseLost           another replica may act now: exit 75, so that Kubernetes starts this one again

What the API server answers is in `ecg_cluster.errors`.
"""

from __future__ import annotations

from collections.abc import Sequence


class OperatorError(Exception):
    """The root of all that the operator raises by itself."""

    exit_code = 70


class SettingsProblem(OperatorError):
    """One or more environment variables cannot be used."""

    exit_code = 78

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class LeaseLost(OperatorError):
    """This replica is not the leader any more, so it must not write."""

    exit_code = 75
