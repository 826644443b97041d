"""Scenarios drawn by chance, of what editors let people write; the same number gives the same scenario."""

from __future__ import annotations

from random import Random

from captions import Json, scenario
from ecg_renderer.served import known_plugins

SECONDS = 6
TEXTS = [
    "caption", "two words", "AVATAR To We, office", "a sentence that is long enough to need a second line of its own",
    "안녕하세요 반갑습니다", "これは日本語の字幕です", "مرحبا بالعالم", "say שלום now", "नमस्ते दुनिया", "สวัสดีชาวโลก",
    "👨\u200d👩\u200d👧 🇰🇷 ok", "e\u0301 <b>&amp;", "A", "100 %",
]  # fmt: skip
STYLES: list[Json] = [
    {},
    {"fontSizeRel": 0.11, "fontWeight": "bold"},
    {"fontSize": "28px", "color": "oklch(0.75 0.18 60)"},
    {"fontFamily": "Noto Sans KR", "textShadow": "2px 3px 4px #000000"},
    {"fontFamily": "Nanum Pen Script, cursive", "opacity": 0.7},
    {"backgroundColor": "rgba(200, 30, 60, 0.5)", "padding": "6px 12px", "borderRadius": "9px"},
]
LAYOUTS: list[Json] = [
    {"childrenLayout": {"mode": "flow", "direction": "horizontal", "wrap": True, "gap": 0.01, "justify": "center"}},
    {"childrenLayout": {"mode": "flow", "direction": "vertical", "gap": 0.01}},
    {},
]


def drawn_scenario(number: int) -> Json:
    """Return a scenario of `SECONDS` whose cues overlap, nest, and have plugins on words and on groups."""
    chance = Random(number)
    return scenario([_cue(chance, index) for index in range(chance.randint(3, 6))])


def _cue(chance: Random, index: int) -> Json:
    start = round(chance.uniform(0, SECONDS - 2), 3)
    span = [start, round(start + chance.uniform(0.5, 2), 3)]
    anchor = chance.choice(("tl", "tc", "tr", "cl", "cc", "cr", "bl", "bc", "br"))
    place = {"anchor": anchor, "position": {"x": chance.uniform(0.2, 0.8), "y": chance.uniform(0.2, 0.8)}}
    root = _group(chance, f"{index}", span, depth=chance.randint(0, 1))
    root["layout"] |= place
    track = chance.choice(("caption", "free"))
    return {"id": f"cue-{index}", "track": track, "domLifetime": span, "root": root}


def _group(chance: Random, name: str, span: list[float], depth: int) -> Json:
    children = [
        _group(chance, f"{name}.{place}", span, depth - 1) if depth else _word(chance, f"{name}.{place}", span)
        for place in range(chance.randint(1, 3))
    ]
    group: Json = {"id": f"group-{name}", "eType": "group", "displayTime": span, "children": children}
    group["layout"] = dict(chance.choice(LAYOUTS))
    if chance.random() < 0.5:
        group["boxStyle"] = {"backgroundColor": "rgba(0, 0, 0, 0.6)", "padding": "4px 8px", "borderRadius": "4px"}
    return group | _plugins(chance, span, 0.5)


def _word(chance: Random, name: str, span: list[float]) -> Json:
    word: Json = {"id": f"word-{name}", "eType": "text", "text": chance.choice(TEXTS), "style": chance.choice(STYLES)}
    if chance.random() < 0.3:
        word["displayTime"] = [round((2 * span[0] + span[1]) / 3, 3), span[1]]
    return word | _plugins(chance, span, 0.8)


def _plugins(chance: Random, span: list[float], share: float) -> Json:
    if chance.random() > share:
        return {}
    names = chance.sample(list(known_plugins()), chance.randint(1, 2))
    begin = round(chance.uniform(span[0] - 0.2, span[1]), 3)
    params = {"speaker": "anna", "palette": "define.speakerPalette"}
    chain = [
        {
            "name": name,
            "params": params if name.startswith("cwi-") else {},
            "timeOffset": chance.choice(([-0.3, 0.3], [0, 0])),
        }
        for name in names
    ]
    return {"baseTime": [begin, round(begin + chance.uniform(0.3, 1.5), 3)], "pluginChain": chain}
