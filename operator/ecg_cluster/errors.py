"""What goes wrong between us and the API server.

NoCluster            no way to reach one
ApiError             it does not do what it was asked for
 ├─ NotFound        404
 ├─ AlreadyExists   409, the name is taken
 ├─ Changed         409, the object is not the one, or not the version, that the request was about
 ├─ Expired         410, a version to continue from is too old
 ├─ Refused         401 or 403: rights, quota, an admission rule
 ├─ Invalid         400, 413 or 422: the object breaks a rule
 └─ NoAnswer        429, 5xx, no connection, no answer in time: another try may work
     └─ Broken      500: something that it needs for this does not work, such as an admission webhook
"""

from __future__ import annotations


class NoCluster(Exception):
    """There is no cluster to work with."""


class RolledBack(Exception):
    """The API server is at an earlier version than it was: etcd was restored, and what is known never happened."""


class ApiError(Exception):
    """A request that failed.

    Attributes:
        status: HTTP status, 0 if there was no answer.
        reason: Kubernetes' word for it, such as AlreadyExists; may be empty.
        retry_after: seconds that the server asks to wait, 0 if it does not say.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after


class NotFound(ApiError):
    """The object is not there."""


class AlreadyExists(ApiError):
    """An object of this name is there already."""


class Changed(ApiError):
    """Somebody else has written or replaced the object meanwhile."""


class Expired(ApiError):
    """A new list is needed."""


class Refused(ApiError):
    """We may not do this."""


class Invalid(ApiError):
    """The API server finds the object wrong."""


class NoAnswer(ApiError):
    """The API server cannot answer now."""


class Broken(NoAnswer):
    """The API server lacks something that it needs for this."""


_KINDS: dict[int, type[ApiError]] = {
    400: Invalid, 401: Refused, 403: Refused, 404: NotFound, 410: Expired, 413: Invalid, 422: Invalid, 429: NoAnswer,
}  # fmt: skip


def api_error(status: int, reason: str, message: str, retry_after: float = 0.0) -> ApiError:
    """Return the error for an answer with HTTP `status`; 0 stands for no answer."""
    kind = _KINDS.get(status, ApiError)
    if status == 409:
        kind = AlreadyExists if reason == "AlreadyExists" else Changed
    elif status == 0 or status >= 500:
        kind = Broken if status == 500 else NoAnswer
    return kind(status, reason, message, retry_after)
