"""Captioned talks, seeded and made of plain words, in the shape that the caption editor saves.

- typical: 4 to 6 words a cue, 2 to 3 s a cue, no gaps; every word takes its speaker's colour while it is
  spoken, and one word a cue is loud or bouncing. This is what the editor writes by default.
- busy: the same talk, every word with another heavy effect. Hardly two frames are equal.
- sparse: one cue of 2 s in every five seconds.
- top-and-bottom: typical, and at the same times other words at the top, as a translation.
- many: typical with 900 cues in ten minutes, two thirds of a second each.
- the name of a caption plugin: the same talk, every word with this one effect.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, pairwise
from typing import Any, Literal

Node = dict[str, Any]
Dress = Callable[["Cue", random.Random], list[list[Node]]]

SEED = 20_240_229
SPEAKERS = {"Ada": "#ffd166", "Ben": "#06d6a0", "Cleo": "#ef476f"}
PROSE = """
    morning we walk along the river and look for stones that shine under cold water while my brother sings
    old songs about boats nobody remembers how this garden was planned but every summer bright flowers grow
    between broken bricks there is time to wait listen carefully when trains arrive people laugh talk hurry
    home across quiet streets tomorrow might bring rain or sun who knows
"""

EditPlace = Literal["within", "across"]
"""Where a corrected word is seen: within one piece of finished video, or across the border of two."""
_CELL = 10  # seconds that a piece has
_REACH = [-0.3, 0.3]  # the editor lets most effects begin before and end after the word
_EFFECT_PARAMS: dict[str, Node] = {
    "cwi-bouncing": {"waveHeight": 12},
    "cwi-loud": {"pulse": {"scale": 2.15, "lift": 12}, "tremble": {"ampPx": 1.5, "freq": 12}},
    "cwi-whisper": {"shrink": {"scale": 0.6, "drop": 6}, "flutter": {"amp": 0.02, "freq": 8}},
    "elastic": {"bounceStrength": 0.7, "animationDuration": 1.5, "staggerDelay": 0.1},
    "fadein": {"staggerDelay": 0.1, "animationDuration": 0.8},
}


@dataclass(frozen=True)
class Word:
    """A word and when it is spoken, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Cue:
    """One caption: words without gaps, from one speaker."""

    speaker: str
    words: tuple[Word, ...]

    @property
    def start(self) -> float:
        """First moment, in seconds."""
        return self.words[0].start

    @property
    def end(self) -> float:
        """Last moment, in seconds."""
        return self.words[-1].end


def _typical_seconds(name: str) -> float:
    """Return how long a cue is."""
    return 600 / 900 if name == "many" else 2.5


def talk(name: str, seconds: float) -> list[Cue]:
    """Return the words of scenario `name`; the same for every call with the same arguments."""
    rng = random.Random(SEED)
    speakers = cycle(SPEAKERS)
    if name == "sparse":
        spans = [(5.0 * k + 1.5, 5.0 * k + 3.5) for k in range(max(1, round(seconds / 5)))]
    else:
        spans = _gapless(seconds, rng, _typical_seconds(name))
    return [_cue(next(speakers), start, end, rng) for start, end in spans]


def scenario(name: str, seconds: float) -> Node:
    """Return the MotionText 2.0 scenario `name`, or that of the plugin `name`, for a clip of `seconds`."""
    rng = random.Random(SEED + 1)
    dress = DRESSES.get(name) or partial(_dress_alike, name)
    spoken = talk(name, seconds)
    cues = [_cue_node(k, cue, dress(cue, rng)) for k, cue in enumerate(spoken)]
    if name == "top-and-bottom":
        cues += [_at_the_top(_cue_node(len(spoken) + k, cue, dress(cue, rng))) for k, cue in enumerate(spoken)]
    return {**_FRAME, "cues": cues}


def _at_the_top(cue: Node) -> Node:
    layout = {**cue["root"]["layout"], "anchor": "tc", "position": {"x": 0.5, "y": 0.075}}
    return {**cue, "root": {**cue["root"], "layout": layout}}


def with_another_word(shown: Node, edit: EditPlace) -> Node:
    """Return a scenario in which a word near the middle is another one, at such a place."""
    cues = [*shown["cues"]]
    spans = [[(time + reach) // _CELL for time, reach in zip(cue["domLifetime"], _REACH, strict=True)] for cue in cues]
    wanted = edit == "across"
    chosen = next(k for k in range(len(cues) // 2, len(cues)) if (spans[k][0] != spans[k][1]) == wanted)
    changed = json.loads(json.dumps(cues[chosen]))
    changed["root"]["children"][0]["text"] = "Corrected"
    cues[chosen] = changed
    return {**shown, "cues": cues}


def _gapless(seconds: float, rng: random.Random, usual: float) -> list[tuple[float, float]]:
    lengths = [rng.uniform(0.8 * usual, 1.2 * usual) for _ in range(max(1, round(seconds / usual)))]
    scale = seconds / sum(lengths)
    edges = [0.0]
    for length in lengths:
        edges.append(edges[-1] + length * scale)
    return list(pairwise(edges))


def _cue(speaker: str, start: float, end: float, rng: random.Random) -> Cue:
    texts = rng.sample(PROSE.split(), rng.randint(4, 6))
    weights = [len(text) + 2 for text in texts]  # a short word still takes a moment to say
    edges = [start]
    for weight in weights:
        edges.append(edges[-1] + (end - start) * weight / sum(weights))
    spoken = zip(texts, pairwise(edges), strict=True)
    return Cue(speaker, tuple(Word(text, round(a, 3), round(b, 3)) for text, (a, b) in spoken))


def _color(cue: Cue) -> Node:
    params = {"speaker": cue.speaker, "palette": "define.speakerPalette"}
    return {"name": "cwi-color@2.0.0", "params": params, "timeOffset": ["0%", "-10%"]}


def _effect(name: str) -> Node:
    return {"name": f"{name}@2.0.0", "params": _EFFECT_PARAMS.get(name, {}), "timeOffset": _REACH}


def _dress_by_default(cue: Cue, rng: random.Random) -> list[list[Node]]:
    chains = [[_color(cue)] for _ in cue.words]
    rng.choice(chains).append(_effect(rng.choice(["cwi-loud", "cwi-bouncing"])))
    return chains


def _dress_heavily(cue: Cue, rng: random.Random) -> list[list[Node]]:
    effects = cycle(_EFFECT_PARAMS)
    for _ in range(rng.randrange(len(_EFFECT_PARAMS))):
        next(effects)
    chains = [[_effect(next(effects))] for _ in cue.words]
    for chain in chains:
        if chain[0]["name"].startswith("fadein"):
            chain.append(_color(cue))
    return chains


def _dress_alike(name: str, cue: Cue, _: random.Random) -> list[list[Node]]:
    effect = _color(cue) if name == "cwi-color" else _effect(name)
    return [[effect] for _ in cue.words]


DRESSES: dict[str, Dress] = {
    "typical": _dress_by_default,
    "busy": _dress_heavily,
    "sparse": _dress_by_default,
    "top-and-bottom": _dress_by_default,
    "many": _dress_by_default,
}


def _cue_node(index: int, cue: Cue, chains: list[list[Node]]) -> Node:
    lifetime = [cue.start, cue.end]
    children = [
        {
            "id": f"word-{index}-{k}",
            "eType": "text",
            "text": word.text,
            "baseTime": [word.start, word.end],
            "pluginChain": chain,
        }
        for k, (word, chain) in enumerate(zip(cue.words, chains, strict=True))
    ]
    layout = {
        "anchor": "define.caption.layout.anchor",
        "position": "define.caption.position",
        "safeAreaClamp": "define.caption.layout.safeAreaClamp",
        "childrenLayout": "define.caption.childrenLayout",
    }
    root = {"id": f"clip-{index}", "eType": "group", "displayTime": lifetime, "layout": layout}
    return {
        "id": f"cue-{index}",
        "track": "caption",
        "domLifetime": lifetime,
        "root": {**root, "children": children},
    }


_FRAME: Node = {
    "version": "2.0",
    "pluginApiVersion": "3.0",
    "timebase": {"unit": "seconds"},
    "stage": {"baseAspect": "16:9"},
    "define": {
        "caption": {
            "position": {"x": 0.5, "y": 0.925},
            "layout": {"anchor": "bc", "safeAreaClamp": True},
            "childrenLayout": {
                "mode": "flow",
                "direction": "horizontal",
                "wrap": True,
                "maxWidth": "90%",
                "gap": 0.005,
                "align": "center",
                "justify": "center",
            },
        },
        "speakerPalette": SPEAKERS,
    },
    "tracks": [
        {
            "id": "caption",
            "type": "subtitle",
            "layer": 1,
            "defaultStyle": {
                "fontSizeRel": 0.05,
                "fontFamily": "Arial, sans-serif",
                "color": "#ffffff",
                "align": "center",
            },
            "defaultBoxStyle": {
                "backgroundColor": "rgba(0, 0, 0, 0.6)",
                "padding": "4px 8px",
                "borderRadius": "4px",
                "opacity": 1,
            },
            "defaultConstraints": {"safeArea": {"bottom": 0.075, "left": 0.05, "right": 0.05}},
        }
    ],
}
