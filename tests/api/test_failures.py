from __future__ import annotations

import json

import pytest

from ecg_api.failures import (
    FIRST_EXIT_CODE,
    FIRST_RETRYABLE_EXIT_CODE,
    LAST_EXIT_CODE,
    RULES,
    Failure,
    FailureCode,
)

LONGEST_CODE_THAT_CLIENTS_STORE = 50


def test_every_code_has_exactly_one_rule() -> None:
    assert set(RULES) == set(FailureCode)


def test_every_exit_code_stands_for_one_failure_only() -> None:
    exit_codes = [rule.exit_code for rule in RULES.values()]
    assert len(exit_codes) == len(set(exit_codes))


@pytest.mark.parametrize("code", FailureCode)
def test_exit_codes_stay_clear_of_those_of_shells_and_signals(code: FailureCode) -> None:
    assert FIRST_EXIT_CODE <= RULES[code].exit_code <= LAST_EXIT_CODE
    assert RULES[code].retryable == (RULES[code].exit_code >= FIRST_RETRYABLE_EXIT_CODE)


@pytest.mark.parametrize("code", FailureCode)
def test_codes_fit_where_clients_store_them(code: FailureCode) -> None:
    assert code.value == code.name
    assert len(code.value) <= LONGEST_CODE_THAT_CLIENTS_STORE


@pytest.mark.parametrize(
    ("code", "retryable"),
    [
        ("VALIDATION_ERROR", False),
        ("INVALID_VIDEO_URL", False),
        ("SCENARIO_PARSE_ERROR", False),
        ("JOB_CANCELLED", False),
        ("BROWSER_ERROR", True),
        ("FFMPEG_ERROR", True),
        ("RENDERING_TIMEOUT", True),
        ("UNEXPECTED_ERROR", True),
    ],
)
def test_only_what_another_try_may_mend_is_retried(code: str, retryable: bool) -> None:
    assert RULES[FailureCode(code)].retryable is retryable


def test_a_failure_travels_in_camel_case_and_comes_back_equal() -> None:
    failure = Failure(code=FailureCode.FFMPEG_ERROR, message="FFmpeg ended with 1.", retryable=True, log_tail=["x"])
    written = failure.model_dump_json()
    assert json.loads(written)["logTail"] == ["x"]
    assert Failure.model_validate_json(written) == failure
