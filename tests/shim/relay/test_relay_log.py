"""What receivers answer is logged as one harmless line."""

from __future__ import annotations

import pytest

from ecg_shim.relay import ledger
from ecg_shim.relay.ledger import Now
from ecg_shim.relay.metrics import RelayMetrics
from ecg_shim.relay.policy import Answer, Verdict
from shim_jobs import state

FORGED = "no\r\n2026-01-01 ERROR ecg_shim: forged \x1b[2J\u202e\u2028."
SHOWN = "no 2026-01-01 ERROR ecg_shim: forged \\x1b[2J\\u202e ."


@pytest.mark.parametrize(
    "answer",
    [Answer(422, FORGED.encode()), Answer(302, b"", error=f"redirects to {FORGED}"), Answer(error=FORGED)],
    ids=["a body", "a redirect", "an error"],
)
def test_an_answer_cannot_forge_lines_of_the_log(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    record = ledger.take(None, state("completed", 1, "job", callback_url="http://backend/cb"), Now(0.0))
    begun, sending = ledger.begin(record, Now(1.0))
    RelayMetrics().report(begun, sending, answer, Verdict.REFUSED)
    assert caplog.messages
    for message in caplog.messages:
        assert message.endswith(SHOWN)
        assert message.isprintable()
