"""Variables of the environment that say how this machine renders."""

from __future__ import annotations

import pytest

from ecg_renderer.errors import OptionsError
from ecg_renderer.model import CaptureWay
from ecg_renderer.request import Settings


def test_settings_are_read_and_what_is_empty_stays_as_it_is() -> None:
    assert Settings.from_environment({"BROWSER_POOL_SIZE": " ", "PATH": "/bin", "stages": "4"}) == Settings()
    read = Settings.from_environment(
        {"BROWSER_POOL_SIZE": " 3 ", "QUEUE_MAX_SIZE": "7", "MEMORY_THRESHOLD_MB": "64", "ECG_FRAME_TIMEOUT": "0.5",
         "ECG_CAPTURE": "beginframe"}
    )  # fmt: skip
    assert read == Settings(stages=3, queue_frames=7, memory_mb=64, frame_timeout=0.5, capture=CaptureWay.BEGINFRAME)
    assert read.memory_bytes == 64 * 1024 * 1024
    assert Settings.from_environment({"ECG_CAPTURE": "auto"}).capture is None


WRONG = {
    ("BROWSER_POOL_SIZE", "0"): "BROWSER_POOL_SIZE: 0 is below 1",
    ("BROWSER_POOL_SIZE", "33"): "BROWSER_POOL_SIZE: 33 is above 32",
    ("QUEUE_MAX_SIZE", "many"): "QUEUE_MAX_SIZE: 'many' is not a whole number",
    ("QUEUE_MAX_SIZE", "1.5"): "QUEUE_MAX_SIZE: '1.5' is not a whole number",
    ("ECG_FRAME_TIMEOUT", "soon"): "ECG_FRAME_TIMEOUT: 'soon' is not a number",
    ("ECG_FRAME_TIMEOUT", "nan"): "ECG_FRAME_TIMEOUT: 'nan' is not a number",
    ("ECG_CAPTURE", "canvass"): "ECG_CAPTURE: 'canvass' is not one of auto, canvas, beginframe, screenshot; "
    "did you mean canvas?",
}


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_told_with_its_variable(name: str, value: str) -> None:
    with pytest.raises(OptionsError) as refused:
        Settings.from_environment({name: value})
    assert WRONG[name, value] in refused.value.message


def test_all_wrong_variables_are_told_at_once() -> None:
    with pytest.raises(OptionsError) as refused:
        Settings.from_environment({"BROWSER_POOL_SIZE": "x", "ECG_CAPTURE": "y", "MEMORY_THRESHOLD_MB": "-1"})
    for name in ("BROWSER_POOL_SIZE", "ECG_CAPTURE", "MEMORY_THRESHOLD_MB"):
        assert name in refused.value.message
