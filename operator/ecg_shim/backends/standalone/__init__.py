"""The service on one machine: a durable queue in SQLite, and a process for each render.

submit ─> jobs.sqlite ─> supervisor ─> `ecg-render run` ─> output folder or S3
             └─> feed ─> relay      <─ progress, result ─┘
"""

from ecg_shim.backends.standalone.backend import StandaloneBackend
from ecg_shim.backends.standalone.settings import S3Target, StandaloneSettings

__all__ = ["S3Target", "StandaloneBackend", "StandaloneSettings"]
