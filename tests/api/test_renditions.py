"""Renditions in a manifest: what is left out follows from the suffix, and what nobody could make is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ecg_api.options import Focus, Options
from ecg_api.renderjob import ManifestProblems, RenderJob, parse_render_job
from ecg_api.renditions import Rendition, content_of, format_of, options_of


def job(manifest: dict[str, Any], renditions: list[dict[str, Any]], **options: object) -> RenderJob:
    return parse_render_job({**manifest, "spec": {**manifest["spec"], "renditions": renditions, "options": options}})


@pytest.mark.parametrize(
    ("rendition", "content", "written"),
    [
        ({"uri": "vertical.mp4"}, "video", "mp4"),
        ({"uri": "captions.MOV"}, "captions", "mov"),
        ({"uri": "film.mov", "content": "video"}, "video", "mov"),
        ({"uri": "captions.webm", "content": "captions"}, "captions", "webm"),
        ({"uri": "pictures/"}, "captions", "png"),
        ({"uri": "pictures.zip"}, "captions", "png"),
        ({"uri": "s3://b/words.srt"}, "subtitles", "srt"),
        ({"uri": "words.vtt"}, "subtitles", "vtt"),
        ({"uri": "words.ass", "format": "ass"}, "subtitles", "ass"),
    ],
)
def test_the_suffix_says_what_a_rendition_is(rendition: dict[str, Any], content: str, written: str) -> None:
    read = Rendition.model_validate(rendition)
    assert (content_of(read), format_of(read)) == (content, written)


@pytest.mark.parametrize(
    ("renditions", "words"),
    [
        ([{"uri": "a.mkv"}], "spec.renditions[0]: uri ends in none of .mp4"),
        ([{"uri": "noSuffix"}], "spec.renditions[0]: uri ends in none of .mp4"),
        ([{"uri": "a.webm"}], "a .webm can be a video, or captions"),
        ([{"uri": "a.mp4", "content": "captions"}], "captions alone need an alpha channel"),
        ([{"uri": "a.zip", "content": "video"}], "content video is written as mp4, mov or webm; found png"),
        ([{"uri": "a.mov", "format": "mp4"}], "format is mp4, but the address ends in mov"),
        ([{"uri": "a.srt", "codec": "h264"}], "subtitles are text"),
        ([{"uri": "a.srt", "width": 640}], "subtitles are text"),
        ([{"uri": "a.mov", "codec": "h264"}], "content captions in mov takes codec prores; found h264"),
        ([{"uri": "a.mp4", "codec": "prores"}], "content video in mp4 takes codec h264, hevc or av1; found prores"),
        ([{"uri": "a.mp4", "width": 10}], "spec.renditions[0].width: 10 is below 64"),
        ([{"uri": "a.mp4", "height": 9000}], "spec.renditions[0].height: 9000 is above 7680"),
        ([{"uri": "a.mp4", "focus": {"x": 101}}], "spec.renditions[0].focus.x: 101 is above 100"),
        ([{"uri": "a.mp4", "focus": {"y": -1}}], "spec.renditions[0].focus.y: -1 is below 0"),
        ([{"uri": "a.mp4", "name": "no spaces"}], "spec.renditions[0].name: 'no spaces' is not made of"),
        ([{"uri": "s3://b/pictures/"}], "in S3 write a .zip"),
        ([{"uri": "https://b/a.mp4"}], "cannot write to https://"),
        ([{"uri": "a.srt"}, {"uri": "./a.srt"}], "renditions[1].uri: two outputs have one address"),
        ([{"uri": "s3://videos/out.mp4"}], "renditions[0].uri: two outputs have one address"),
        ([{"uri": "a.srt", "name": "a"}, {"uri": "b.srt", "name": "a"}], "renditions[1].name: two renditions"),
        ([{"uri": f"{number}.srt"} for number in range(17)], "spec.renditions: has more than 16 entries"),
    ],
)
def test_what_nobody_could_make_is_refused_with_field_and_rule(
    manifest: dict[str, Any], renditions: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(ManifestProblems) as refused:
        job(manifest, renditions)
    assert len(refused.value.problems) == 1
    assert words in refused.value.problems[0]


@pytest.mark.parametrize(
    ("output", "changes", "words"),
    [
        (
            "talk.mp4",
            {"renditions": [{"uri": "./in//a.mp4"}]},
            "renditions[0].uri: an output has the address of the source",
        ),
        (
            "talk.mp4",
            {"live": {"uri": "talk.mp4"}},
            "live.uri: the folder to watch is where the source or an output is",
        ),
        ("talk.mp4", {"live": {"uri": "./in/a.mp4"}}, "live.uri: the folder to watch"),
        ("talk.mp4", {"live": {}, "renditions": [{"uri": "talk-live/"}]}, "live.uri: the folder to watch"),
        ("talk.mp4", {"live": {"uri": "w"}, "renditions": [{"uri": "talk-live/"}]}, ""),
    ],
)
def test_what_would_be_written_at_one_place_is_refused(
    manifest: dict[str, Any], output: str, changes: dict[str, Any], words: str
) -> None:
    manifest["spec"] |= {"source": {"uri": "in/a.mp4"}, "output": {"uri": output}, **changes}
    try:
        parse_render_job(manifest)
        problems = [""]
    except ManifestProblems as refused:
        problems = refused.problems
    assert len(problems) == 1
    assert words in problems[0]
    assert bool(words) == bool(problems[0])


def test_what_is_left_out_is_that_of_the_job(manifest: dict[str, Any]) -> None:
    made = job(
        manifest,
        [{"uri": "v.mp4", "width": 1080, "height": 1920, "focus": {"x": 30}}, {"uri": "w.webm", "content": "video"}],
        width=1280,
        height=720,
        quality=70,
        codec="hevc",
        encoder="x264",
        softSubtitles=True,
    )
    shape, web = (options_of(rendition, made.spec.options) for rendition in made.spec.renditions)
    assert (shape.width, shape.height, shape.quality, shape.codec) == (1080, 1920, 70, "hevc")
    assert (shape.focus, shape.soft_subtitles, shape.format) == (Focus(x=30, y=50), False, "mp4")
    assert (web.width, web.height, web.codec, web.format, web.encoder) == (1280, 720, None, "webm", "cpu")


def test_options_of_a_rendition_are_options_that_a_job_may_have() -> None:
    for uri in ("a.mp4", "a.mov", "a.webm"):
        for codec in (None, "h264", "hevc", "av1"):
            rendition = Rendition(uri=uri, content="video")
            options = options_of(rendition, Options.model_construct(**dict(Options()) | {"codec": codec}))
            Options.model_validate(options.model_dump())


def test_soft_subtitles_have_no_place_in_webm(manifest: dict[str, Any]) -> None:
    with pytest.raises(ManifestProblems, match="softSubtitles goes with format mp4 and mov"):
        job(manifest, [], softSubtitles=True, format="webm")
