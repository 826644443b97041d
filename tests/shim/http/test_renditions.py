"""What a request may ask for besides its video, what is refused, and that others see no difference."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from ecg_api.status import CaptionsBox, RenditionStatus
from ecg_shim.model import JobState, JobStatus
from ecg_shim.options import InvalidOptions, render_options
from ecg_shim.relay.payloads import payload
from ecg_shim.wire import StatusReply


def test_files_are_named_and_lie_where_the_service_decides() -> None:
    options = render_options(
        {"renditions": [{"name": "vertical.mp4", "width": "1080", "height": 1920.0}, {"name": "words.srt"}]}
    )
    spec = options.spec("s3://bucket/rendered/a/output.mp4")
    assert "renditions" not in spec["options"]
    assert spec["renditions"] == [
        {"uri": "s3://bucket/rendered/a/vertical.mp4", "width": 1080, "height": 1920},
        {"uri": "s3://bucket/rendered/a/words.srt"},
    ]
    assert "renditions" not in render_options({}).spec("out.mp4")


@pytest.mark.parametrize(
    ("renditions", "words"),
    [
        ("all", "options.renditions: 'all' is not a list"),
        (["a.mp4"], "options.renditions[0]: is not a mapping"),
        ([{"uri": "s3://other/a.mp4"}], "options.renditions[0].uri: the service decides"),
        ([{"name": "../a.mp4"}], "options.renditions[0].name: is no name of a file"),
        ([{"name": "output.mp4"}], "options.renditions[0].name: output.mp4 is what the video itself is called"),
        ([{"name": "a.mkv"}], "options.renditions[0]: uri ends in none of"),
        ([{"name": "a.srt", "codec": "h264"}], "options.renditions[0]: subtitles are text"),
        ([{"name": "a.srt"}, {"name": "a.srt"}], "options.renditions[1].uri: two outputs have one address"),
        ([{"name": "a.mp4", "width": 10}], "options.renditions[0].width: 10 is below 64"),
        ([{"name": f"{number}.srt"} for number in range(17)], "options.renditions: has more than 16 entries"),
    ],
)
def test_what_cannot_be_made_is_named(renditions: Any, words: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        render_options({"renditions": renditions})
    assert words in str(refused.value)


def test_only_jobs_with_renditions_are_told_with_outputs() -> None:
    state = JobState("a", JobStatus.COMPLETED, 1, datetime.now(UTC))
    assert "outputs" not in payload(state, 0)
    assert "outputs" not in StatusReply.of(state).model_dump()
    box = CaptionsBox(x=1, y=2, width=3, height=4)
    alone = RenditionStatus(name="a.mov", content="captions", uri="/data/a.mov", url="https://a/b", box=box, frames=9)
    told = StatusReply.of(JobState("a", JobStatus.COMPLETED, 1, datetime.now(UTC), outputs=(alone,))).model_dump()
    assert told["outputs"] == [
        {
            "name": "a.mov",
            "content": "captions",
            "url": "https://a/b",
            "size": 0,
            "frames": 9,
            "sha256": "",
            "box": {"x": 1, "y": 2, "width": 3, "height": 4},
        }
    ]
