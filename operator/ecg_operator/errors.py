"""What can go wrong at the operator's edges.

OperatorError
 ├─ SettingsProblem     an environment variable is missing or wrong: exit 78
 ├─ NoCluster           no way to reach an API server, or no right to: exit 69
 ├─ LeaseLost           another replica may act now: exit 75, so that Kubernetes starts this one again
 └─ ApiError            the API server answered with an error
     ├─ NotFound        404
     ├─ AlreadyExists   409, a name is taken
     ├─ Conflict        409, the object has changed meanwhile
     ├─ Expired         410, a version to continue from is too old
     ├─ Refused         401 or 403: rights, quota, an admission rule
     ├─ Invalid         400 or 422: the object breaks a rule
     └─ Unavailable     429, 5xx, no answer in time, no connection: another try may work
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


class NoCluster(OperatorError):
    """There is no cluster to work with."""

    exit_code = 69


class LeaseLost(OperatorError):
    """This replica is not the leader any more, so it must not write."""

    exit_code = 75


class ApiError(OperatorError):
    """The API server refused a request.

    Attributes:
        status: HTTP status, 0 if there was no answer.
        reason: Kubernetes' word for it, such as AlreadyExists.
        retry_after: seconds that the server asks to wait, 0 if it does not say.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """The object is not there."""


class AlreadyExists(ApiError):
    """An object of this name is there already."""


class Conflict(ApiError):
    """The object is not the one, or not the version, that the request was about."""


class Expired(ApiError):
    """The version to continue from is too old; a new list is needed."""


class Refused(ApiError):
    """The operator may not do this."""


class Invalid(ApiError):
    """The API server finds the object wrong."""


class Unavailable(ApiError):
    """The API server cannot answer now."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: Invalid, 401: Refused, 403: Refused, 404: NotFound, 410: Expired, 422: Invalid, 429: Unavailable,
}  # fmt: skip


def api_error(status: int, reason: str, message: str, retry_after: float = 0) -> ApiError:
    """Return the error for an answer with HTTP `status`; 0 stands for no answer."""
    kind = _BY_STATUS.get(status, ApiError)
    if status == 409:
        kind = AlreadyExists if reason == "AlreadyExists" else Conflict
    elif status == 0 or status >= 500:
        kind = Unavailable
    return kind(status, reason, message, retry_after)
