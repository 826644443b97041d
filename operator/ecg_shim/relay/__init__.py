"""Tells the backend of the editor what becomes of its jobs.

JobState ─> Relay ─> CallbackRecord (ledger: what to send next) ─> Outbox (on the disk) ─> Sender ─> POST callbackUrl

Nothing that happens here changes what becomes of a job.
"""

from ecg_shim.relay.outbox import Outbox, SqliteOutbox
from ecg_shim.relay.policy import Policy
from ecg_shim.relay.relay import Relay
from ecg_shim.relay.sender import Sender

__all__ = ["Outbox", "Policy", "Relay", "Sender", "SqliteOutbox"]
