"""The operator's log: one line for each event, `key=namespace/name` wherever it is about one RenderJob."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime

_KEY = re.compile(r"^key=(\S+) ?")

QUIET = ("aiohttp", "asyncio", "httpcore", "httpx", "kubernetes")


class TextFormat(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO ecg_operator.reconcile key=default/clip phase=Planning was=Pending`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; line breaks within become visible."""
        text = f"{_time(record)} {record.levelname} {record.name} {record.getMessage()}"
        if record.exc_info:
            text += f" | {self.formatException(record.exc_info)}"
        return text.replace("\n", "\\n")


class JsonFormat(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and key and trace if there are any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object as text."""
        message = record.getMessage()
        fields = {"time": _time(record), "level": record.levelname, "logger": record.name}
        found = _KEY.match(message)
        if found is not None:
            fields["key"], message = found[1], message[found.end() :]
        fields["message"] = message
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def set_up_logs(form: str, level: str) -> None:
    """Log to standard error as `form` (text or json) from `level` on; libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormat() if form == "json" else TextFormat())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("ecg_operator").setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # kopf runs in a thread and warns that it gets no signals there; they are ours to take.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
