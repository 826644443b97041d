"""What is found out about a source, and in which words a useless one is refused."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from clips import Clip, counter, derived
from ecg_renderer.errors import RenderError, ServiceUnreachable, SourceInvalid, SourceMissing
from ecg_renderer.media import counting, process, timing
from ecg_renderer.media import probe as probing
from ecg_renderer.media.endings import early_end
from ecg_renderer.media.facts import bit_depth
from ecg_renderer.media.probe import probe_source
from encodes import probe
from sources import SOURCES


def refused(url: str) -> RenderError:
    with pytest.raises(RenderError) as caught:
        asyncio.run(probe_source(url, display="clip", identity="test"))
    return caught.value


def cut(path: Path, share: float, folder: Path) -> Path:
    content = path.read_bytes()
    short = folder / f"cut{path.suffix}"
    short.write_bytes(content[: int(len(content) * share)])
    return short


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def front(folder: Path) -> Path:
    return derived(counter(Clip()), ("-c", "copy", "-movflags", "+faststart"), ".mp4")


GIF = Clip(frames=2, suffix=".gif", codec="gif", pixel_format="rgb8", audio=None, video=())
PICTURE = ("-frames:v", "1")
CENC = ("-encryption_scheme", "cenc-aes-ctr")
BAD: dict[str, tuple[Callable[[Path], object], type[RenderError], str]] = {
    "a missing file": (lambda folder: folder / "none.mp4", SourceMissing, "clip does not exist"),
    "a directory": (lambda folder: folder, SourceMissing, "clip is a directory"),
    "a file behind a file": (lambda folder: written(folder, "a", b"x") / "b.mp4", SourceMissing, "cannot be opened"),
    "a device": (lambda _: "/dev/zero", SourceMissing, "clip is not a file"),
    "an unknown scheme": (lambda _: "ftp://example.org/a.mp4", SourceMissing, "starts with ftp://"),
    "a server that is not there": (lambda _: "http://127.0.0.1:9/a.mp4", ServiceUnreachable, "cannot be fetched"),
    "an empty file": (lambda folder: written(folder, "a.mp4", b""), SourceInvalid, "clip is empty"),
    "garbage": (lambda folder: written(folder, "a.bin", bytes(range(256)) * 99), SourceInvalid, "not a video"),
    "garbage named mp4": (lambda folder: written(folder, "a.mp4", bytes(range(256)) * 99), SourceInvalid, "is no MP4"),
    "text": (lambda folder: written(folder, "a.mp4", b"hello\n" * 99), SourceInvalid, "clip is"),
    "sound only": (lambda _: derived(counter(), ("-vn", "-c", "copy"), ".m4a"), SourceInvalid, "holds only sound"),
    "a cover picture": (
        lambda _: derived(
            counter(), ("-map", "0:a", "-map", "0:v", "-c:a", "copy", "-c:v", "png", *PICTURE,
                        "-disposition:v", "attached_pic"), ".m4a"
        ),
        SourceInvalid,
        "a cover picture, but no video",
    ),
    "an mp3": (lambda _: derived(counter(), ("-vn",), ".mp3"), SourceInvalid, "holds only sound"),
    "a picture": (lambda _: derived(counter(), PICTURE, ".png"), SourceInvalid, "is a picture"),
    "raw pixels": (lambda _: derived(counter(), PICTURE, ".yuv"), SourceInvalid, "holds pixels alone"),
    "subtitles": (
        lambda folder: written(folder, "a.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhi\n"), SourceInvalid, "subtitles",
    ),
    "an mp4 cut before its index": (lambda folder: cut(counter(), 0.6, folder), SourceInvalid, "moov atom"),
    "an mp4 cut behind its index": (lambda folder: cut(front(folder), 0.6, folder), SourceInvalid, r"after \d+ of 60"),
    "a cut mkv": (
        lambda folder: cut(derived(counter(), ("-c", "copy"), ".mkv"), 0.6, folder), SourceInvalid, "breaks off after",
    ),
    "a webm with headers only": (
        lambda folder: cut(derived(counter(), ("-c", "copy", "-c:a", "libopus"), ".mkv"), 0.02, folder),
        SourceInvalid,
        "clip",
    ),
    "two recordings behind each other": (
        lambda folder: written(folder, "a.ts", 2 * derived(counter(), ("-c", "copy"), ".ts").read_bytes()),
        SourceInvalid,
        "time stamps of clip jump",
    ),
    "a small file with pictures of a gigabyte": (
        lambda folder: written(
            folder, "a.gif", counter(GIF).read_bytes().replace(b"\x40\x01\xb4\x00", b"\x80\x3e\x80\x3e", 1)
        ),
        SourceInvalid,
        "16000x16000 pixels, which is more than can be",
    ),
    "colours that nobody knows": (
        lambda _: derived(counter(), ("-c", "copy", "-bsf:v", "h264_metadata=matrix_coefficients=8"), ".mp4"),
        SourceInvalid,
        "stores its colours in a way that is not known here .ycgco",
    ),
    "pictures that come with each tick": (
        lambda _: derived(
            derived(counter(), ("-c:v", "rv10", "-s", "64x48", "-an"), ".rm"), ("-c", "copy"), ".rm"
        ),
        SourceInvalid,
        "have no times of their own: they follow each other with each tick of its clock, 1000 a second",
    ),
    "an encrypted film": (
        lambda _: derived(
            counter(),
            ("-c", "copy", *("-encryption_key", "76" * 16, "-encryption_kid", "a7" * 16), *CENC),
            ".mp4",
        ),
        SourceInvalid,
        "pictures of .* are encrypted",
    ),
    "a playlist that names a file": (
        lambda folder: written(
            folder, "a.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/etc/hostname\n#EXT-X-ENDLIST\n"
        ),
        SourceInvalid,
        "playlist",
    ),
    "a concat script": (
        lambda folder: written(folder, "a.mp4", b"ffconcat version 1.0\nfile /etc/hostname\n"),
        SourceInvalid,
        "playlist",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_source_that_is_no_whole_video_is_refused(name: str, tmp_path: Path) -> None:
    make, kind, words = BAD[name]
    error = refused(str(make(tmp_path)))
    assert type(error) is kind
    assert re.search(words, error.message), error.message
    assert error.hint
    assert "\n" not in error.message


def test_ffprobe_missing_is_said_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    path = counter()
    monkeypatch.setenv("PATH", "/nowhere")
    error = refused(str(path))
    assert "ffprobe is not installed" in error.message
    assert "apt-get install ffmpeg" in error.hint


def test_a_hung_ffprobe_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "ffprobe"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setenv("ECG_FFPROBE", str(slow))
    monkeypatch.setattr("ecg_renderer.media.probe.HEADER_SECONDS", 0.3)
    monkeypatch.setattr("ecg_renderer.media.counting.COUNT_SECONDS", 0.3)
    assert "no answer within" in refused(str(counter())).message


def test_facts_of_an_ordinary_video() -> None:
    facts = probe(counter(Clip(rate="30000/1001")))
    assert (facts.width, facts.height, facts.rotation, facts.sample_aspect) == (320, 180, 0, "1/1")
    assert (facts.rate, facts.frames, facts.variable_rate, facts.start_seconds) == ("30000/1001", 60, False, "0/1")
    assert facts.duration_seconds == pytest.approx(2.002)
    assert (facts.codec, facts.pixel_format, facts.bit_depth) == ("h264", "yuv420p", 8)
    assert (facts.matrix, facts.full_range, facts.transfer) == ("bt601", False, None)
    assert [(sound.index, sound.codec, sound.channels, sound.sample_rate) for sound in facts.audio] == [
        (1, "aac", 1, 48000)
    ]


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (Clip(width=1280, height=720, frames=3), ("bt709", False, 8)),
        (Clip(frames=3, output=("-colorspace", "bt709")), ("bt709", False, 8)),
        (Clip(frames=3, pixel_format="yuv420p10le", output=("-colorspace", "bt2020nc")), ("bt2020", False, 10)),
        (Clip(frames=3, pixel_format="yuvj420p"), ("bt601", True, 8)),
        (Clip(frames=3, codec="rawvideo", pixel_format="gray", suffix=".avi", video=()), ("bt601", True, 8)),
        (Clip(frames=3, codec="libx264rgb", pixel_format="bgr24", suffix=".mkv"), ("bt601", False, 8)),
    ],
)
def test_colours(clip: Clip, expected: tuple[str, bool, int]) -> None:
    facts = probe(counter(clip))
    assert (facts.matrix, facts.full_range, facts.bit_depth) == expected


@pytest.mark.parametrize(
    ("names", "bits"),
    [
        ("yuv420p yuvj444p nv12 gray rgb24 bgra ya8 pal8 gbrap", 8),
        ("yuv420p10le p010le p210le gray10le gbrp10le x2rgb10le", 10),
        ("yuva444p12le gray12be", 12),
        ("rgb48le rgba64be bgra64le ya16le gbrap16le gbrpf32le grayf32le yuv444p16le", 16),
    ],
)
def test_the_bits_of_a_sample_are_read_from_the_pixel_format(names: str, bits: int) -> None:
    assert {name: bit_depth(name) for name in names.split()} == dict.fromkeys(names.split(), bits)


def test_a_recording_without_any_duration_is_counted(tmp_path: Path) -> None:
    # As browsers write it: to a stream that cannot be rewound, so that no length is ever filled in.
    clip = counter(Clip(suffix=".webm", codec="libvpx", audio="libopus", video=("-b:v", "1M", "-cpu-used", "8")))
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-c", "copy", "-f", "webm", "-live", "1", "pipe:1"]
    path = written(tmp_path, "recording.webm", subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    facts = probe(path)
    assert (facts.frames, facts.rate, facts.duration_seconds) == (60, "30/1", 2.0)


def test_a_cover_picture_before_the_video_is_skipped() -> None:
    base = counter()
    cover = derived(base, ("-vf", "scale=64:64", *PICTURE), ".png")
    both = derived(
        base,
        ("-map", "1:v", "-map", "0", "-c", "copy", "-disposition:v:0", "attached_pic"),
        ".mp4",
        before=("-i", str(base), "-i", str(cover)),
    )
    assert (probe(both).codec, probe(both).frames, probe(both).audio[0].codec) == ("h264", 60, "aac")


def test_sound_of_a_codec_that_nobody_knows_is_left_out(tmp_path: Path) -> None:
    two = derived(counter(), ("-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy"), ".mp4")
    before, _, after = two.read_bytes().rpartition(b"mp4a")
    facts = probe(written(tmp_path, "spatial.mp4", before + b"apac" + after.replace(b"esds", b"dapa", 1)))
    assert [sound.index for sound in facts.audio] == [1]
    assert facts.unreadable_audio == [2]


def test_a_path_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_bytes(counter().read_bytes())
    error = refused(str(path))
    assert type(error) is SourceMissing
    assert "caf\ufffd.mp4 is not UTF-8 text" in error.message


def test_an_uneven_rate_is_noticed() -> None:
    uneven = "select='not(mod(n,7))+not(mod(n,3))',settb=1/90000"
    facts = probe(counter(Clip(filters=uneven, output=("-fps_mode", "passthrough", "-enc_time_base", "1/90000"))))
    assert facts.variable_rate
    assert facts.rate == "24/1"


def test_a_name_that_looks_like_an_option_or_a_protocol_is_a_file(tmp_path: Path) -> None:
    for name in ("-i.mp4", "http:x.mp4", "a b%d.mp4"):
        path = written(tmp_path, name, counter().read_bytes())
        assert probe(path).frames == 60


class RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Serves one file, whole or in ranges."""

    content = b""

    def do_GET(self) -> None:
        if "missing" in self.path:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        body = self.content[start:]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        pass

    def handle(self) -> None:
        # FFmpeg hangs up when it has read enough.
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            super().handle()


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    RangeHandler.content = counter().read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RangeHandler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served
        served.shutdown()
        thread.join()


def test_a_source_from_the_web_is_described_by_its_headers(server: http.server.ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}/clip.mp4?signature=secret"
    facts = asyncio.run(probe_source(url, display="clip", identity="test"))
    assert (facts.uri, facts.frames, facts.rate, facts.variable_rate) == ("clip", 60, "30/1", False)
    assert Fraction(facts.start_seconds) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: derived(counter(), ("-c", "copy"), ".mp4", before=("-ss", "0.5")),
        lambda: derived(counter(Clip(frames=20)), ("-c:v", "copy", "-af", "apad=pad_dur=2"), ".mkv"),
    ],
    ids=["frames hidden by an edit list", "sound longer than the pictures"],
)
def test_what_headers_hide_is_counted_on_the_web_too(
    make: Callable[[], Path], server: http.server.ThreadingHTTPServer
) -> None:
    path = make()
    RangeHandler.content = path.read_bytes()
    url = f"http://127.0.0.1:{server.server_port}/{path.name}"
    facts = asyncio.run(probe_source(url, display="clip", identity="test"))
    assert (facts.frames, facts.rate, facts.variable_rate) == (probe(path).frames, "30/1", False)


@pytest.mark.parametrize("from_a_key_frame", [True, False])
def test_an_avi_whose_headers_alone_are_read_begins_as_one_that_is_counted(
    monkeypatch: pytest.MonkeyPatch, *, from_a_key_frame: bool
) -> None:
    path = SOURCES["avi with b-frames"]()
    if not from_a_key_frame:
        path = derived(path, ("-c", "copy", "-bsf:v", "noise=drop=lt(n\\,5)"), ".avi")
    whole = probe(path)
    monkeypatch.setattr(probing, "LARGEST_COUNTED_BYTES", 0)
    headers = probe(path)
    assert headers.seek_points is None
    assert (headers.start, headers.returned) == (whole.start, whole.returned)
    assert (whole.returned > whole.start) is from_a_key_frame


def test_a_page_instead_of_a_video_on_the_web_is_called_one(server: http.server.ThreadingHTTPServer) -> None:
    RangeHandler.content = b"<!doctype html><html><title>Expired</title>" + b" " * 150 + b"</html>"
    url = f"http://127.0.0.1:{server.server_port}/clip.mp4"
    with pytest.raises(SourceInvalid, match="clip is a web page, not a video"):
        asyncio.run(probe_source(url, display="clip", identity="test"))


def test_without_an_index_the_places_to_seek_are_read_on_the_web_too(server: http.server.ThreadingHTTPServer) -> None:
    path = derived(counter(Clip(frames=120)), ("-c", "copy"), ".ts")
    RangeHandler.content = path.read_bytes()
    facts = asyncio.run(probe_source(f"http://127.0.0.1:{server.server_port}/a.ts", display="clip", identity="test"))
    assert len(facts.seek_points or []) > 3
    assert facts.seek_points == probe(path).seek_points


@pytest.mark.parametrize(
    ("container", "content", "how"),
    [
        ("ogg", bytes(3 << 20) + b"OggS" + bytes(22) + b"\1\5hell", "in the middle of an Ogg page"),
        ("yuv4mpegpipe", b"YUV4 FRAME\n" + bytes(3 << 20), "in the middle of a picture"),
        ("gif", b"GIF89a1234\0\0\0,123456789\2\4p", None),  # it would be fetched once more as a whole
    ],
)
def test_a_part_that_is_fetched_tells_the_end_only_if_it_came_as_a_whole(
    container: str, content: bytes, how: str | None, server: http.server.ThreadingHTTPServer
) -> None:
    RangeHandler.content = content
    url = f"http://127.0.0.1:{server.server_port}/clip"
    end = asyncio.run(early_end(url, container, len(content), 5))
    assert (end and end.how) == how
    RangeHandler.content = content[: 7 if container == "yuv4mpegpipe" else -1]
    assert asyncio.run(early_end(url, container, len(content), 5)) is None


def test_a_missing_page_is_named_without_its_signature(server: http.server.ThreadingHTTPServer) -> None:
    error = refused(f"http://127.0.0.1:{server.server_port}/missing.mp4?signature=secret")
    assert type(error) is SourceMissing
    assert "404" in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_connecting_may_take_as_long_as_reading(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "NETWORK_TIMEOUT_SECONDS", 7)
    with socket.socket() as listening, contextlib.ExitStack() as stack:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):  # a full queue: whoever comes next gets no answer
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listening.getsockname())
        began = time.monotonic()
        error = refused(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}/clip.mp4")
        assert type(error) is ServiceUnreachable, error
        assert time.monotonic() - began >= 7  # FFmpeg's own limit for connecting is 5 s


def test_a_certificate_that_nobody_signed_is_refused(
    server: http.server.ThreadingHTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
    ]
    request += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(request, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://localhost:{server.server_port}/clip.mp4"
    assert type(refused(url)) is SourceMissing
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert asyncio.run(probe_source(url, display="clip", identity="test")).frames == 60


def test_ffprobe_dying_of_a_signal_is_no_crash_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "ffprobe"
    dying.write_text("#!/bin/sh\nkill -SEGV $$\n")
    dying.chmod(0o755)
    monkeypatch.setenv("ECG_FFPROBE", str(dying))
    assert process.tool_path("ffprobe") == str(dying)
    assert type(refused(str(counter()))) is SourceInvalid


def test_millions_of_packets_are_read_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    packets = timing.PacketReader()
    tracemalloc.start()
    for number in range(100_000):
        packets.line(b"%d,%d,512,1,0,K_\n" % (number * 512, number * 512))
    times = packets.frame_times()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (len(times.ticks), times.last_duration) == (100_000, 512)
    assert peak < 100_000 * 120
    monkeypatch.setattr(timing, "LARGEST_PACKETS", 100_000)
    with pytest.raises(SourceInvalid, match="more than 100,000 frames"):
        packets.line(b"51200000,51200000,512,1,0,K_\n")


def test_a_file_with_too_many_packets_ends_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "LARGEST_PACKETS", 30)
    with pytest.raises(SourceInvalid, match="more than 30 frames"):
        probe(counter(Clip()))


def test_counting_that_takes_too_long_is_no_short_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "COUNT_SECONDS", 0.0)
    with pytest.raises(ServiceUnreachable, match="could not be read within"):
        probe(counter(Clip()))


def test_places_to_seek_are_few_even_where_every_frame_is_a_key_frame() -> None:
    path = counter(Clip(frames=100, suffix=".mov", codec="mjpeg", pixel_format="yuvj420p", audio=None, video=()))
    points = probe(path).seek_points
    assert points is not None
    assert [round(point.right * 30) for point in points] == [0, 15, 30, 45, 60, 75, 90]
