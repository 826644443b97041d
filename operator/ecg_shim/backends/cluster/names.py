"""Names of objects that belong to a job id, and the annotations by which the id is found again. Pure.

job id ─┬─ RenderJob  <name>
        ├─ ConfigMap  ecg-job-<name>            the ticket
        └─ ConfigMap  ecg-job-<name>-<hash>     a scenario that is too large for the RenderJob
"""

from __future__ import annotations

import hashlib
import re

from ecg_api.renderjob import NAME_LENGTH, NAME_PATTERN

JOB_ID = "render.ecg.dev/job-id"
SUBMITTED = "render.ecg.dev/submitted-at"
PAYLOAD = "render.ecg.dev/payload-sha256"
ANSWERED = "render.ecg.dev/answered"
CANCELLED = "render.ecg.dev/cancelled-at"
REPLAY = "render.ecg.dev/replay-callback"
KIND_LABEL = "render.ecg.dev/kind"
TICKET, SCENARIO = "ticket", "scenario"
SERVICE = "ecg-render-service"

_PREFIX = "ecg-job-"
_HASHED = re.compile(r"job-[0-9a-f]{40}")


def object_name(job_id: str) -> str:
    """Return the name of a job's RenderJob: the id itself if it can be a name, such as a UUID, else made of its hash.

    Different ids have different names: an id that looks like a hashed one is hashed, too.
    """
    if len(job_id) <= NAME_LENGTH and re.fullmatch(NAME_PATTERN, job_id) and not _HASHED.fullmatch(job_id):
        return job_id
    return f"job-{hashlib.sha256(job_id.encode()).hexdigest()[:40]}"


def ticket_name(name: str) -> str:
    """Return the name of the ticket of the RenderJob `name`."""
    return f"{_PREFIX}{name}"


def name_of_ticket(config_map: str) -> str:
    """Return the name of the RenderJob that a ticket is about."""
    return config_map.removeprefix(_PREFIX)


def scenario_name(name: str, digest: str) -> str:
    """Return the name of the ConfigMap with a scenario whose SHA-256 is `digest`."""
    return f"{_PREFIX}{name}-{digest[:10]}"
