"""Every track of the source is in the result: copied bit for bit where the container holds it, and named if not."""

from __future__ import annotations

import asyncio
import functools
import http.server
import json
import signal
import subprocess
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clips import Clip, counter, derived, made, packets
from ecg_api.plan import AudioFacts, SourceFacts, TrackFacts
from ecg_renderer.errors import FfmpegError, ServiceUnreachable
from ecg_renderer.media import counting
from ecg_renderer.media import merge as merging
from ecg_renderer.media.arguments import Merge
from ecg_renderer.media.codecs import COPIED, Track, kept_tracks, track_warnings
from ecg_renderer.media.probe import _heard
from ecg_renderer.media.process import Finished, failure
from encodes import Render, probe
from plan_facts import a_source, a_target

SHORT = Clip(rate="25", frames=20)
EMPTY_TEXT = 2  # bytes, in MP4
SUBTITLES = "1\n00:00:00,200 --> 00:00:00,600\n{}\n\n"


def source_with(*tracks: TrackFacts) -> SourceFacts:
    sounds = [track for track in tracks if isinstance(track, AudioFacts)]
    return a_source(audio=sounds, subtitles=[track for track in tracks if track not in sounds])


def sound(codec: str, channels: int = 2, **more: Any) -> AudioFacts:
    return AudioFacts(index=1, codec=codec, channels=channels, sample_rate=48000, start_seconds="0/1", **more)


@pytest.mark.parametrize(
    ("codec", "containers"),
    [
        ("aac", "mp4 mov"), ("mp3", "mp4 mov"), ("mp2", "mp4 mov"), ("ac3", "mp4 mov"), ("eac3", "mp4 mov"),
        ("dts", "mp4 mov"), ("alac", "mp4 mov"), ("flac", "mp4"), ("opus", "mp4 webm"), ("vorbis", "webm"),
        ("pcm_s16le", "mov"), ("pcm_s24be", "mov"), ("pcm_alaw", "mov"), ("amr_nb", "mov"), ("aac_latm", ""),
        ("pcm_bluray", ""), ("truehd", ""), ("wmav2", ""),
    ],
)  # fmt: skip
def test_sound_is_encoded_again_only_where_the_container_cannot_hold_it(codec: str, containers: str) -> None:
    source = source_with(sound(codec))
    for container in ("mp4", "mov", "webm"):
        (track,) = kept_tracks(source, container)
        assert (track.coding is COPIED) is (container in containers.split())
        assert (track_warnings(source, container) == []) is (track.coding is COPIED)


@pytest.mark.parametrize(
    ("channels", "mp4", "webm"), [(1, "96k", "80k"), (2, "192k", "160k"), (6, "384k", "384k"), (8, "512k", "512k")]
)
def test_more_channels_get_more_bits(channels: int, mp4: str, webm: str) -> None:
    source = source_with(sound("pcm_s16le", channels))
    assert [kept_tracks(source, container)[0].coding["b"] for container in ("mp4", "webm")] == [mp4, webm]


def test_warnings_name_the_track() -> None:
    commentary = sound("truehd", 12, language="eng", title="Commentary")
    blu_ray = TrackFacts(index=2, codec="hdmv_pgs_subtitle", language="kor")
    source = source_with(commentary, blu_ray, TrackFacts(index=3, codec="unknown"), TrackFacts(index=4, codec="subrip"))
    assert track_warnings(source.model_copy(update={"unreadable_audio": [5]}), "mp4") == [
        "FFmpeg cannot decode the source's sound in stream 5; it is left out.",
        'The sound of stream 1 (truehd, eng, "Commentary") cannot be kept in mp4 as it is; it is encoded to AAC with '
        "512 kbit/s, its first 8 channels.",
        "Subtitles that are no text cannot be kept in mp4; left out: stream 2 (hdmv_pgs_subtitle, kor), "
        "stream 3 (unknown).",
    ]


def test_sound_that_ffmpeg_only_knows_by_name_is_left_out() -> None:
    facts = source_with(sound("mpegh_3d_audio", 6), sound("truehd"), sound("aac"))
    heard = asyncio.run(_heard(facts))
    assert [track.codec for track in heard.audio] == ["truehd", "aac"]
    assert heard.unreadable_audio == [1]


def film() -> Path:
    """Return a Matroska film: two languages, one of them 5.1 that MP4 does not hold, and two kinds of subtitles."""
    base = counter(SHORT)
    texts = [SUBTITLES.format(said) for said in ("안녕하세요", "Hello <i>you</i>")]
    korean, english = (made("film", text, ".srt", lambda path, text=text: path.write_text(text)) for text in texts)
    maps = ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-map", "2")
    coding = ("-c", "copy", "-c:a:1", "pcm_s16le", "-ac:a:1", "6", "-c:s:0", "ass", "-c:s:1", "subrip")
    tags = {
        "v:0": ("kor", "The picture", "default"), "a:0": ("kor", "Original", "original"),
        "a:1": ("eng", "Commentary", "default"), "s:0": ("kor", "Korean", "0"), "s:1": ("eng", "English", "forced"),
    }  # fmt: skip
    told = [
        word
        for place, (language, title, disposition) in tags.items()
        for word in (
            *(f"-metadata:s:{place}", f"language={language}", f"-metadata:s:{place}", f"title={title}"),
            *(f"-disposition:{place}", disposition),
        )
    ]
    return derived(english, (*maps, *coding, *told), ".mkv", before=("-i", str(base), "-i", str(korean)))


def streams(path: Path) -> list[dict[str, Any]]:
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return list(json.loads(said)["streams"])


def sound_of(path: Path) -> list[bytes]:
    """Return every packet of the first sound."""
    return [bytes(packet) for packet in packets(path, audio=0)]


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("container", ["mp4", "mov", "webm"])
def test_all_tracks_are_there_with_their_names(container: str, count: int, tmp_path: Path) -> None:
    encoder = {"webm": "vp9"}.get(container, "x264")
    render = Render(film(), tmp_path, options={"encoder": encoder, "quality": 40})
    path, merged = render.merged(render.segments(count), container)

    found = streams(path)

    kept = {"mp4": ["aac", "aac"], "mov": ["aac", "pcm_s16le"], "webm": ["opus", "opus"]}[container]
    text = {"webm": "webvtt"}.get(container, "mov_text")
    assert [stream["codec_name"] for stream in found[1:]] == [*kept, text, text]
    assert [stream["channels"] for stream in found[1:3]] == [1, 6]
    assert merged.warnings == ()
    assert [stream["tags"].get("language") for stream in found] == ["kor", "kor", "eng", "kor", "eng"]
    titles = [stream["tags"].get("title") or stream["tags"].get("handler_name") for stream in found]
    assert titles == ["The picture", "Original", "Commentary", "Korean", "English"]
    assert [stream["disposition"]["default"] for stream in found[1:]] == [0, 1, 0, 0]
    if container != "mov":  # QuickTime files have no place for it
        assert found[4]["disposition"]["forced"] == 1
    if container != "webm":
        assert sound_of(path) == sound_of(film())
    wanted = _shown_at(film(), subtitles=1) - _shown_at(film(), video=0)
    assert _shown_at(path, subtitles=1) - _shown_at(path, video=0) == pytest.approx(
        wanted, abs=0.008 if container == "webm" and asyncio.run(merging._opus_is_early()) else 0.0015
    )


def _shown_at(path: Path, **stream: int) -> float:
    """Return when the first picture, or the first subtitle that is not empty, is shown."""
    return next(float(packet.pts * packet.time_base) for packet in packets(path, **stream) if packet.size > EMPTY_TEXT)


def test_text_that_ffmpeg_cannot_write_costs_the_text_and_not_the_film(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = Render(film(), tmp_path)
    segments = render.segments(1)
    run, asked = merging.run_ffmpeg, []

    async def failing(arguments: list[str], **more: Any) -> object:
        asked.append(arguments)
        if "-c:s:0" in arguments:
            raise FfmpegError("FFmpeg failed.")
        return await run(arguments, **more)

    monkeypatch.setattr(merging, "run_ffmpeg", failing)
    path, merged = render.merged(segments)
    assert [stream["codec_type"] for stream in streams(path)] == ["video", "audio", "audio"]
    assert merged.warnings == ("The source's subtitles are left out, because the merge failed: FFmpeg failed.",)


@pytest.mark.parametrize(
    ("url", "code", "log", "tries"),
    [
        ("/clip.mkv", 1, ["Connection reset by peer"], 3),
        ("https://host/clip.mkv", 1, ["Will reconnect at 7, error=Connection reset by peer."], 3),
        ("https://host/clip.mkv", 1, ["Connection reset by peer"], 1),
        ("https://host/clip.mkv", 1, ["Input/output error"], 1),
        ("/clip.mkv", -signal.SIGSEGV, [], 3),
        ("/clip.mkv", -signal.SIGKILL, [], 1),
    ],
)
def test_what_has_nothing_to_do_with_a_track_costs_none(
    url: str, code: int, log: list[str], tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def failing(job: Merge, tracks: list[Track], cells: list[Path]) -> None:
        asked.append(tracks)
        raise failure(Finished(code, b"", log), "joining the pieces")

    monkeypatch.setattr(merging, "_join", failing)
    source = source_with(sound("aac"), TrackFacts(index=2, codec="subrip"))
    with pytest.raises(FfmpegError):
        asyncio.run(merging._joined(Merge(a_target(), source, url, Path("out.mp4"), 1000), []))
    assert len(asked) == tries


@pytest.mark.parametrize(("url", "whole"), [("https://host/clip.mkv", False), ("/clip.mkv", True)])
def test_sound_that_breaks_off_on_its_way_is_no_shorter_sound(
    url: str, whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg ends with exit status 0 then."""
    log = ["[http @ 1] Will reconnect at 7 in 3 second(s), error=Input/output error."]

    async def ending(arguments: list[str], **more: object) -> Finished:
        return Finished(0, b"", log)

    monkeypatch.setattr(merging, "run_ffmpeg", ending)
    job = Merge(a_target(), source_with(sound("aac")), url, Path("out.mp4"), 1000)
    asyncio.run(merging._join(job, [], []))
    log.append("clip.mkv: Input/output error")
    with nullcontext() if whole else pytest.raises(ServiceUnreachable, match="broke off while"):
        asyncio.run(merging._join(job, [], []))


def test_sound_that_is_missing_is_left_out_only_if_there_is_none_at_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, empty = (
        derived(counter(SHORT), ("-c", "copy", *words), ".mkv") for words in ((), ("-bsf:a", "noise=drop=gte(n\\,0)"))
    )
    source = source_with(sound("aac"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(whole.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            tracks = kept_tracks(source, "mp4")
            left = asyncio.run(merging._without(1, tracks, source, f"{address}/{empty.name}"))
            with pytest.raises(ServiceUnreachable, match="broke off while the pieces were joined"):
                asyncio.run(merging._without(1, tracks, source, f"{address}/{whole.name}"))
        finally:
            server.shutdown()
            thread.join()
    assert left == ["Nothing can be read of the source's sound in stream 1; it is left out."]

    async def away(*words: object, **more: object) -> Finished:
        return Finished(1, b"", ["Connection refused"])

    monkeypatch.setattr(counting, "read", away)
    with pytest.raises(ServiceUnreachable, match="cannot be fetched at the moment: Connection refused"):
        asyncio.run(merging._without(1, tracks, source, f"{address}/{empty.name}"))


@pytest.mark.parametrize(
    ("codec", "channels", "container"),
    [("flac", 2, "mp4"), ("pcm_s16le", 3, "webm"), ("pcm_s16le", 4, "webm"), ("pcm_s16le", 12, "mp4")],
)
def test_unusual_sound_is_in_the_result(codec: str, channels: int, container: str, tmp_path: Path) -> None:
    silence = "|".join("0" for _ in range(channels))
    source = derived(
        counter(replace(SHORT, audio=None)),
        ("-map", "1:v", "-map", "0:a", "-c:v", "copy", "-c:a", codec),
        ".mkv",
        before=("-f", "lavfi", "-t", "0.8", "-i", f"aevalsrc={silence}:s=48000"),
    )
    render = Render(source, tmp_path, options={"encoder": "vp9" if container == "webm" else "x264", "quality": 40})
    result, _ = render.merged(render.segments(1), container)
    assert probe(result).audio[0].channels == min(channels, 8)
    assert codec != "flac" or sound_of(result) == sound_of(source)
