"""HDR becomes SDR, or stays HDR: pictures and tags say the same, and captions have the light of white paper."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest

from clips import ffmpeg, write_nut
from ecg_api.options import Options
from ecg_api.plan import LightFacts
from ecg_renderer.colour import Conversion, peak_nits, rgba_to_yuva, to_sdr
from ecg_renderer.errors import SourceInvalid
from ecg_renderer.media.arguments import LEAD_FRAMES, Overlay
from ecg_renderer.media.encoder import cpu_codec
from ecg_renderer.media.facts import light_facts, source_facts
from ecg_renderer.media.timing import Timing
from ecg_renderer.planning import encoding_of, output_colour
from ecg_renderer.planning.output import colour_warnings
from encodes import Render, known
from plan_facts import a_source

PQ, HLG = "smpte2084", "arib-std-b67"
HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1200,400"
# What white paper has of the signal: ITU-R BT.2408.
WHITE = {PQ: 0.58, HLG: 0.75}
GREY = 0.4
PROGRAMS = pytest.mark.parametrize("program", ["installed", "newest"], indirect=True)


@pytest.fixture
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Render with the system's FFmpeg, or with the newest one that a Python package brings."""
    if request.param == "newest":
        monkeypatch.setenv("ECG_FFMPEG", imageio_ffmpeg.get_ffmpeg_exe())
    return str(request.param)


@functools.cache
def film(transfer: str, folder: Path, *, bits: int = 10, full: bool = False) -> Path:
    """Return three pictures whose upper half is grey of GREY on the left, and white paper on the right."""
    path = folder / f"{transfer}-{bits}-{full}.mp4"
    black, swing = (0, 1023) if full else (64, 876)
    left, right = (round(black + swing * share) for share in (GREY, WHITE[transfer]))
    picture = f"color=black:s=128x128:r=25,format=yuv420p10le,geq=lum='if(lt(X,64),{left},{right})':cb=512:cr=512"
    # Spoken of in the stream alone: the scaler would convert what it was told.
    tags = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:range={'full' if full else 'limited'}"
    light = f":{HDR10}" if transfer == PQ else ""
    pixels = {"pix_fmt": "yuv420p10le" if bits == 10 else "yuv420p"}
    coding = ["-c:v", "libx265", "-x265-params", f"log-level=error:lossless=1:{tags}{light}", "-preset", "ultrafast"]
    ffmpeg("-f", "lavfi", "-i", picture, *coding, "-pix_fmt", pixels["pix_fmt"], "-frames:v", "3", str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hdr")


def rendered(path: Path, folder: Path, **options: Any) -> tuple[Path, list[float]]:
    """Render a white caption over the lower half; return the file, and the signals, 0 to 1, of grey, white, caption."""
    render = Render(path, folder, options={"quality": 100, **options.pop("options", {})}, **options)
    colour, pictures = render.target.colour, render.job(0, 1, None, "").pictures
    conversion = Conversion.of(
        colour.matrix, full_range=pictures.full_range, transfer=colour.transfer, primaries=colour.primaries
    )
    nut = folder / "caption.nut"
    white = np.full((render.box.height, render.box.width, 4), 255, np.uint8)
    pixels = rgba_to_yuva(white, conversion).tobytes()
    write_nut(str(nut), (render.box.width, render.box.height), render.rate, [(LEAD_FRAMES, pixels)])
    job = render.job(0, 3, Overlay(render.box, str(nut)), "cell.mp4")
    render.encode(job)
    result, _ = render.merged([job.output])
    return result, signals(result)


def signals(path: Path) -> list[float]:
    """Return the luma of grey, white paper and caption as shares of the signal's range."""
    facts = known(path)
    raw = ffmpeg("-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", facts.pixel_format, "-")
    ten_bit = facts.bit_depth > 8
    luma = np.frombuffer(raw, np.uint16 if ten_bit else np.uint8)[: 128 * 128].reshape(128, 128)
    black, swing = (0, 255) if facts.full_range else (16, 219)
    found = (luma[32, 32], luma[32, 96], luma[96, 64])
    return [(float(value) / (4 if ten_bit else 1) - black) / swing for value in found]


def tags(path: Path) -> tuple[str, ...]:
    facts = known(path)
    return facts.codec, facts.pixel_format, facts.color_space or "", facts.primaries or "", facts.transfer or ""


@PROGRAMS
@pytest.mark.parametrize(("transfer", "bits", "full"), [(PQ, 10, False), (HLG, 8, False), (HLG, 10, True)])
@pytest.mark.usefixtures("program")
def test_hdr_becomes_sdr(transfer: str, bits: int, full: bool, folder: Path, tmp_path: Path) -> None:
    source = film(transfer, folder, bits=bits, full=full)

    path, (grey, white, caption) = rendered(source, tmp_path)

    assert tags(path) == ("h264", "yuv420p", "bt709", "bt709", "bt709")
    wanted = [
        float(to_sdr(np.full(3, share), transfer, 1200 if transfer == PQ else 1000)[0])
        for share in (GREY, WHITE[transfer])
    ]
    assert [grey, white] == pytest.approx(wanted, abs=0.01)
    assert caption == pytest.approx(1, abs=0.005)
    assert 0.85 < white < 0.95
    assert light_of(path) is None


@PROGRAMS
@pytest.mark.parametrize(("transfer", "bits"), [(PQ, 10), (HLG, 8), (HLG, 10)])
@pytest.mark.usefixtures("program")
def test_hdr_stays_hdr_with_captions_as_bright_as_paper(transfer: str, bits: int, folder: Path, tmp_path: Path) -> None:
    path, (grey, white, caption) = rendered(
        film(transfer, folder, bits=bits), tmp_path, keep_hdr=True, options={"encoder": "x265"}
    )

    assert tags(path) == ("hevc", "yuv420p10le", "bt2020nc", "bt2020", transfer)
    assert grey == pytest.approx(GREY, abs=0.004)
    assert white == pytest.approx(WHITE[transfer], abs=0.004)
    assert caption == pytest.approx(WHITE[transfer], abs=0.004)
    assert light_of(path) == (light_of(film(PQ, folder)) if transfer == PQ else None)


@pytest.mark.parametrize(("encoder", "container"), [("svt-av1", "mp4"), ("vp9", "webm")])
def test_other_codecs_keep_hdr_too(encoder: str, container: str, folder: Path, tmp_path: Path) -> None:
    render = Render(film(PQ, folder), tmp_path, keep_hdr=True, options={"encoder": encoder, "quality": 80})
    path, _ = render.merged(render.segments(1), container)
    assert tags(path)[1:] == ("yuv420p10le", "bt2020nc", "bt2020", PQ)
    assert signals(path)[:2] == pytest.approx([GREY, WHITE[PQ]], abs=0.01)


def light_of(path: Path) -> LightFacts | None:
    """Return what the first picture says about light."""
    entries = ["-read_intervals", "%+#1", "-show_entries", "frame=pts:frame_side_data"]
    command = ["ffprobe", "-v", "error", "-select_streams", "v", *entries, "-of", "json", str(path)]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["frames"][0]
    return light_facts(said.get("side_data_list", []))


def test_what_hdr10_says_about_its_light_is_read_from_its_first_picture(folder: Path) -> None:
    light = known(film(PQ, folder)).light
    assert light
    assert (light.display_nits, light.content_nits, light.average_nits) == (1000, 1200, 400)
    assert light.display == "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@pytest.mark.parametrize(
    ("light", "peak"),
    [
        (None, 1000),
        (LightFacts(display_nits=4000), 4000),
        (LightFacts(display_nits=4000, content_nits=1500), 1500),
        (LightFacts(content_nits=3), 400),
        (LightFacts(display_nits=1e9), 10_000),
    ],
)
def test_highlights_are_rolled_off_from_what_the_film_has(light: LightFacts | None, peak: float) -> None:
    assert peak_nits(a_source(transfer=PQ, light=light)) == peak


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tone_mapping_is_smooth_and_keeps_greys_grey(transfer: str) -> None:
    ramp = np.repeat(np.linspace(0, 1, 500)[:, None], 3, axis=1)
    sdr = to_sdr(ramp, transfer, 1000)
    assert np.ptp(sdr, axis=1).max() < 0.001
    assert (np.diff(sdr[:, 0]) >= 0).all()
    assert (sdr[0, 0], sdr[-1, 0]) == pytest.approx((0, 1), abs=0.001)


@pytest.mark.parametrize(
    ("options", "codec", "bits", "said"),
    [
        ({}, "x264", 8, "the result is SDR, tone-mapped to BT.709"),
        ({"dynamic_range": "sdr"}, "x264", 8, ""),
        ({"dynamic_range": "hdr"}, "x265", 10, ""),
        ({"dynamic_range": "hdr", "codec": "av1"}, "svt-av1", 10, ""),
        ({"dynamic_range": "hdr", "format": "webm"}, "vp9", 10, ""),
    ],
)
def test_the_dynamic_range_decides_on_codec_and_bits(options: dict[str, Any], codec: str, bits: int, said: str) -> None:
    source, wanted = a_source(transfer=HLG), Options(**options)
    encoding, depth = encoding_of(source, wanted)
    chosen = cpu_codec(encoding)
    colour = output_colour(source, chosen.name, keep_hdr=wanted.dynamic_range == "hdr")
    assert (chosen.name, depth, colour.bit_depth) == (codec, bits, bits)
    assert [said in warning for warning in colour_warnings(source, wanted)] == ([True] if said else [])


def test_hdr_of_sdr_is_sdr_and_says_so() -> None:
    source, options = a_source(transfer="bt709"), Options(dynamic_range="hdr")
    assert encoding_of(source, options) == (options, 8)
    assert not output_colour(source, "x264", keep_hdr=True).tone_mapped
    assert "the source is SDR, and so is the result" in colour_warnings(source, options)[0]


def test_hdr_is_not_put_into_h264() -> None:
    with pytest.raises(ValueError, match="dynamicRange hdr takes codec hevc or av1"):
        Options(dynamic_range="hdr", codec="h264")


@pytest.mark.parametrize(
    ("profile", "compatible", "taken"), [(8, 4, True), (8, 1, True), (5, 0, False), (10, 0, False)]
)
def test_dolby_vision_is_taken_by_what_other_players_show_of_it(profile: int, compatible: int, taken: bool) -> None:
    record = {"dv_profile": profile, "dv_bl_signal_compatibility_id": compatible}
    stream = {
        "index": 0,
        "codec_type": "video",
        "codec_name": "hevc",
        "width": 64,
        "height": 64,
        "pix_fmt": "yuv420p10le",
        "time_base": "1/25",
        "color_transfer": HLG,
        "side_data_list": [record],
        "disposition": {"attached_pic": 0},
    }
    report = {"format": {"format_name": "mov"}, "streams": [stream]}
    timing = Timing(rate=a_source().exact_rate, variable=False, start=0, frames=3, duration=1)
    if taken:
        facts = source_facts(report, stream, timing, display="clip.mov", identity="clip")
        assert (facts.dolby_vision, facts.is_hdr, facts.matrix) == (profile, True, "bt2020")
    else:
        with pytest.raises(SourceInvalid, match=f"Dolby Vision of profile {profile}"):
            source_facts(report, stream, timing, display="clip.mov", identity="clip")
