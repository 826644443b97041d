"""The two values of CSS that go wrong in silence: lists of families, and colours."""

from __future__ import annotations

import re

COLOUR_HINT = "Write a CSS colour, such as #ff8800 or oklch(0.75 0.18 60)."
WIDE_KEYWORDS = frozenset(("inherit", "initial", "unset", "revert", "revert-layer", "default"))

# By the signs that it does not take: of a class with all letters behind ASCII, Python would go through each.
_IDENTIFIER = re.compile(r"(?:--|-?[^\x00-@\[-^`{-\x7f])[^\x00-,./:-@\[-^`{-\x7f]*")
_QUOTED = re.compile(r"""(["'])((?:\\.|(?!\1)[^\\])*)(?:\1|$)""", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_AXES = re.compile(r":[a-z,]+@.*$", re.IGNORECASE)

_NAMED_WORDS = """
aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue blueviolet brown burlywood
cadetblue chartreuse chocolate coral cornflowerblue cornsilk crimson cyan darkblue darkcyan darkgoldenrod
darkgray darkgreen darkgrey darkkhaki darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon
darkseagreen darkslateblue darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue dimgray
dimgrey dodgerblue firebrick floralwhite forestgreen fuchsia gainsboro ghostwhite gold goldenrod gray green
greenyellow grey honeydew hotpink indianred indigo ivory khaki lavender lavenderblush lawngreen lemonchiffon
lightblue lightcoral lightcyan lightgoldenrodyellow lightgray lightgreen lightgrey lightpink lightsalmon
lightseagreen lightskyblue lightslategray lightslategrey lightsteelblue lightyellow lime limegreen linen magenta
maroon mediumaquamarine mediumblue mediumorchid mediumpurple mediumseagreen mediumslateblue mediumspringgreen
mediumturquoise mediumvioletred midnightblue mintcream mistyrose moccasin navajowhite navy oldlace olive
olivedrab orange orangered orchid palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff peru
pink plum powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown seagreen
seashell sienna silver skyblue slateblue slategray slategrey snow springgreen steelblue tan teal thistle tomato
transparent turquoise violet wheat white whitesmoke yellow yellowgreen accentcolor accentcolortext activetext
buttonborder buttonface buttontext canvas canvastext field fieldtext graytext highlight highlighttext linktext
mark marktext selecteditem selecteditemtext visitedtext
"""
_NAMED = frozenset(_NAMED_WORDS.split())
_HEX = re.compile(r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_CALL = re.compile(r"([a-z-]+)\((.*)\)", re.IGNORECASE | re.DOTALL)
_COMPONENT = re.compile(
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:%|deg|grad|rad|turn)?|none|calc\(.*\)",
    re.IGNORECASE,
)
_CHANNEL = re.compile("alpha|[rgbhslwacxyz]")
_THREE = frozenset(("rgb", "rgba", "hsl", "hsla", "hwb", "lab", "lch", "oklab", "oklch"))
_SPACES = frozenset(
    [
        "srgb",
        "srgb-linear",
        "display-p3",
        "display-p3-linear",
        "a98-rgb",
        "prophoto-rgb",
        "rec2020",
        "xyz",
        "xyz-d50",
        "xyz-d65",
    ]
)
_MIXED_IN = _SPACES | {"hsl", "hwb", "lab", "lch", "oklab", "oklch"}
_HUES = frozenset(("shorter", "longer", "increasing", "decreasing"))
_INVISIBLE = re.compile(r"transparent|#[0-9a-f]{3}0|#[0-9a-f]{6}00|.*[,/]\s*0*(?:\.0*)?%?\s*\)", re.IGNORECASE)
_DEEPEST = 8


def split_families(text: str) -> list[tuple[str, bool]]:
    """Return the families of a CSS list, each with whether it was quoted; a quote that never ends, ends at the end."""
    families: list[tuple[str, bool]] = []
    rest = text.lstrip()
    while rest:
        quoted = _QUOTED.match(rest)
        name, _, rest = rest[quoted.end() :].partition(",") if quoted else rest.partition(",")
        written = _ESCAPED.sub(r"\1", quoted[2]) + name.rstrip() if quoted else name
        families.append((written.strip(), quoted is not None))
        rest = rest.lstrip()
    return [(name, quoted) for name, quoted in families if name]


def readable_families(text: str) -> str:
    """Return a list of families that CSS can read: the same where it can already, else with names in quotes.

    A name that CSS cannot read (a word in it begins with a digit, or holds other signs) makes Chromium drop the whole
    list. What an address of web fonts adds to a name (`:wght@700`) is left out.
    """
    if text.strip().lower() in WIDE_KEYWORDS or "var(" in text:
        return text
    families = split_families(text)
    if all(not quoted and _is_plain(name) for name, quoted in families) or _is_quoted_well(text, families):
        return text
    return ", ".join(name if not quoted and _is_plain(name) else _quoted(name) for name, quoted in families)


def _is_plain(name: str) -> bool:
    words = name.split()
    if len(words) == 1 and name.lower() in WIDE_KEYWORDS:
        return False
    return bool(words) and all(_IDENTIFIER.fullmatch(word) for word in words)


def _is_quoted_well(text: str, families: list[tuple[str, bool]]) -> bool:
    if not all(quoted or _is_plain(name) for name, quoted in families):
        return False
    return all(not quoted or _quoted(name) in text or f"'{name}'" in text for name, quoted in families)


def _quoted(name: str) -> str:
    escaped = _AXES.sub("", name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def is_colour(text: object, depth: int = 0) -> bool:
    """Tell whether CSS takes `text` for a colour by itself: no variables, no currentcolor."""
    if not isinstance(text, str) or depth > _DEEPEST:
        return False
    plain = text.strip().lower()
    plain += ")" * (plain.count("(") - plain.count(")"))
    if plain in _NAMED or _HEX.fullmatch(plain):
        return True
    call = _CALL.fullmatch(plain)
    if not call:
        return False
    name, inner = call[1], call[2]
    if name in _THREE:
        return _is_components(_relative(_parts(inner, " ,/"), depth), 3)
    if name == "color":
        parts = _relative(_parts(inner, " /"), depth)
        return bool(parts) and parts[0] in _SPACES and _is_components(parts[1:], 3)
    if name == "color-mix":
        return _is_mix(_parts(inner, ","), depth)
    return name == "light-dark" and [is_colour(part, depth + 1) for part in _parts(inner, ",")] == [True, True]


def is_invisible(text: str) -> bool:
    """Tell whether the colour `text` is written as a wholly transparent one."""
    plain = text.strip().lower()
    commas = plain.startswith(("rgb", "hsl")) and plain.count(",") < 3 and "/" not in plain
    return _INVISIBLE.fullmatch(plain) is not None and not commas


def _relative(parts: list[str], depth: int) -> list[str]:
    """Return the components after `from COLOUR`; nothing if that is no colour."""
    if parts[:1] != ["from"]:
        return parts
    if len(parts) < 2 or not is_colour(parts[1], depth + 1):
        return []
    return ["none" if _CHANNEL.fullmatch(part) else part for part in parts[2:]]


def _is_components(parts: list[str], count: int) -> bool:
    return len(parts) in (count, count + 1) and all(_COMPONENT.fullmatch(part) for part in parts)


def _is_mix(parts: list[str], depth: int) -> bool:
    if len(parts) == 2:  # without a space to mix in, newer browsers take oklab
        parts = ["in oklab", *parts]
    words = parts[0].split() if len(parts) == 3 else []
    if len(words) not in (2, 4) or words[0] != "in" or words[1] not in _MIXED_IN:
        return False
    if len(words) == 4 and (words[2] not in _HUES or words[3] != "hue"):
        return False
    return all(_is_share(part, depth) for part in parts[1:])


def _is_share(part: str, depth: int) -> bool:
    words = _parts(part, " ")
    colours = [word for word in words if not re.fullmatch(r"\d*\.?\d+%", word)]
    return len(words) <= 2 and len(colours) == 1 and is_colour(colours[0], depth + 1)


def _parts(text: str, separators: str) -> list[str]:
    """Return what stands between separators that are not within parentheses."""
    parts, open_, part = [], 0, ""
    for sign in text:
        open_ += (sign == "(") - (sign == ")")
        if open_ == 0 and (sign in separators or (sign.isspace() and " " in separators)):
            parts.append(part)
            part = ""
        else:
            part += sign
    parts.append(part)
    return [part.strip() for part in parts if part.strip()]
