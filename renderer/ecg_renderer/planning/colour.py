"""Which colours the result has, and by which encoder they can be had. Pure.

source    dynamicRange   result
SDR       any            as the source is: matrix, range, primaries, 8 or 10 bits
HDR       auto, sdr      SDR: BT.709, limited range, 8 bits, by tone mapping
HDR       hdr            as the source is, with 10 bits; HEVC unless another codec is asked for
"""

from __future__ import annotations

from ecg_api.options import EncoderName, Options
from ecg_api.plan import OutputColour, SourceFacts
from ecg_renderer.media.codecs import CODECS


def output_colour(source: SourceFacts, encoder: EncoderName, *, keep_hdr: bool = False) -> OutputColour:
    """Return the colours of what `encoder` makes of a source: its own, as far as the encoder takes them.

    HDR becomes SDR unless `keep_hdr`.
    """
    if source.is_hdr and not keep_hdr:
        return OutputColour(
            matrix="bt709", full_range=False, bit_depth=8, transfer="bt709", primaries="bt709", tone_mapped=True
        )
    codec = CODECS[encoder]
    ten_bit = (source.is_hdr or source.bit_depth > 8) and max(codec.depths) > 8
    return OutputColour(
        matrix=source.matrix,
        full_range=source.full_range and codec.full_range,
        bit_depth=10 if ten_bit else 8,
        transfer=source.transfer,
        primaries=source.primaries,
        light=source.light if source.is_hdr else None,
    )


def encoding_of(source: SourceFacts, options: Options) -> tuple[Options, int]:
    """Return the options, and the bits of a sample, that the encoder of a source is chosen by."""
    if not source.is_hdr:
        return options, source.bit_depth
    if options.dynamic_range != "hdr":
        return options, 8
    codec = options.codec or (None if options.format == "webm" else "hevc")
    return options.model_copy(update={"codec": codec}), 10


def colour_warnings(source: SourceFacts, options: Options) -> list[str]:
    """Return a sentence where the result's dynamic range is another than the source's, or than was asked for."""
    if source.is_hdr and options.dynamic_range == "auto":
        kind = {"smpte2084": "PQ", "arib-std-b67": "HLG"}[source.transfer or ""]
        return [
            f"The source is HDR ({kind}); the result is SDR, tone-mapped to BT.709. Set options.dynamicRange to hdr to "
            "keep it, or to sdr to hear no more of this."
        ]
    if not source.is_hdr and options.dynamic_range == "hdr":
        return ["options.dynamicRange is hdr, but the source is SDR, and so is the result."]
    return []
