r"""The same words burnt in by libass: the most that FFmpeg alone offers for word-timed captions.

Each word sweeps from white to its speaker's colour while it is spoken (karaoke, `\kf`). Nothing bounces.
"""

from __future__ import annotations

from itertools import pairwise

from bench.scenarios import SPEAKERS, Cue

_EM = 0.05 * 1.117  # ASS sizes count ascent plus descent, CSS sizes the em: the same letters in both
_BOTTOM = 0.075
_HEADER = """\
[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, Outline, Alignment, MarginV
Style: Default,Arial,{size},&H00FFFFFF,&H00FFFFFF,&H00000000,2,2,{bottom}

[Events]
Format: Start, End, Style, Text
"""


def ass_document(cues: list[Cue], width: int, height: int) -> str:
    """Return the ASS file for a picture of `width` x `height` pixels."""
    size, bottom = round(height * _EM), round(height * _BOTTOM)
    header = _HEADER.format(width=width, height=height, size=size, bottom=bottom)
    return header + "".join(map(_dialogue, cues))


def _dialogue(cue: Cue) -> str:
    red, green, blue = (SPEAKERS[cue.speaker][k : k + 2].upper() for k in (1, 3, 5))
    moments = [word.start for word in cue.words] + [cue.end]
    edges = [round(100 * (moment - cue.start)) for moment in moments]  # no error adds up
    sweeps = zip(pairwise(edges), cue.words, strict=True)
    text = " ".join(f"{{\\kf{end - start}}}{word.text}" for (start, end), word in sweeps)
    return f"Dialogue: {_clock(cue.start)},{_clock(cue.end)},Default,{{\\1c&H{blue}{green}{red}&}}{text}\n"


def _clock(seconds: float) -> str:
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{hundredths // 100:02}.{hundredths % 100:02}"
