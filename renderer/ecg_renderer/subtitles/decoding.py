"""Bytes of subtitles to text that can be read: by its encoding, and without the captions that have no times."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import pysubs2

from ecg_renderer.errors import ScenarioError
from ecg_renderer.scenario import Report

HEAD_BYTES = 65536
_UTF_8 = "save it as UTF-8, by the name of what it is: iconv -f CP1250 -t UTF-8 OLD > NEW."
# What XML says of itself; other names that Python knows are not of text.
_DECLARED = re.compile(
    rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']((?:iso|windows|cp|koi|euc|shift|big5|gb|tis)[\w-]*)", re.IGNORECASE
)
_MARKS = {"utf-8-sig": b"\xef\xbb\xbf", "utf-16": b"\xff\xfe", "utf_16": b"\xfe\xff"}


def bytes_of_text(raw: bytes) -> bytes:
    """Return the beginning of a text in an encoding in which ASCII is as it is, without marks."""
    raw = raw[:HEAD_BYTES]
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "ignore").encode()
    if encoding := _unmarked_utf16(raw):
        return raw.decode(encoding, "ignore").encode()
    while raw.startswith(b"\xef\xbb\xbf"):
        raw = raw[3:]
    return raw


def decoded(raw: bytes, report: Report) -> str:
    """Return the text of `raw`; `report` is told of an encoding that is a guess. Errors: ScenarioError for none."""
    marked = next((encoding for encoding, mark in _MARKS.items() if raw.startswith(mark)), "")
    encoding = marked or _unmarked_utf16(raw) or "utf-8"
    text = _decoded(raw, encoding)
    if text is None and (declared := _DECLARED.match(raw[:HEAD_BYTES])):
        text = _decoded(raw, declared[1].decode())
    if text is None and not marked:
        text, language, guess = _guessed(raw)
        if text is not None:
            said = f"is not UTF-8, and was taken for {language} ({guess}), which is a guess"
            report.warn("encoding", report.origin, said, hint=f"Where letters are wrong, {_UTF_8}")
    if text is None:
        raise ScenarioError(f"{report.origin} is in no known encoding.", hint=f"{_UTF_8[0].upper()}{_UTF_8[1:]}")
    for sign, instead in (("\r\n", "\n"), ("\r", "\n"), ("\x00", ""), ("\ufeff", "")):
        text = text.replace(sign, instead)
    return text


def _decoded(raw: bytes, encoding: str) -> str | None:
    try:
        return raw.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _unmarked_utf16(raw: bytes) -> str:
    """Return the order of bytes of UTF-16 without its mark: one of the two of a letter or digit is zero."""
    head = raw[:HEAD_BYTES]
    zeros = [head[first::2].count(0) for first in (0, 1)]
    if max(zeros) < max(1, len(head) // 8) or min(zeros) * 8 > max(zeros):
        return ""
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _guessed(raw: bytes) -> tuple[str | None, str, str]:
    """Return the text, the language, and the first encoding in which it looks like one."""
    for encoding, language, fits in _GUESSES:
        text = _decoded(raw, encoding)
        if text is not None and fits(text):
            return text, language, encoding
        if encoding == _AFTER and (found := _alphabetic(raw)):
            return found
    return None, "", ""


def _alphabetic(raw: bytes) -> tuple[str, str, str] | None:
    """Return the text in the alphabet whose letters it most likely is of; None where it is in none."""
    found = []
    for encoding, language, words, common in _ALPHABETS:
        text = _decoded(raw, encoding)
        if text is not None and _is_written(text, words):
            found.append((_likelihood(text, common), text, language, encoding))
    return max(found, key=lambda guess: guess[0])[1:] if found else None


def _likelihood(text: str, common: str) -> float:
    """Return the logarithm of how likely `text` is, of whose letters each is about as much rarer than the one before.

    Text in large letters only is rarer than in small ones: in KOI8 and Windows' Cyrillic they stand for each other.
    """
    said = unicodedata.normalize("NFD", text[:HEAD_BYTES])
    letters = Counter(letter for letter in said if letter > "\x7f" and letter.isalpha())
    fall = len(common) / _FALLS
    ranks = (count * (common.find(letter.lower()) % (2 * len(common))) for letter, count in letters.items())
    signs = sum(sign > "\x7f" and not sign.isalpha() for sign in text[:HEAD_BYTES])
    large = 2 * sum(count for letter, count in letters.items() if letter.isupper()) > letters.total()
    return -sum(ranks) / fall - letters.total() * math.log(fall) - _OF_A_SIGN * signs - _ALL_LARGE * large


# Two letters of Windows' Western side by side are a letter of another encoding, but between Latin ones.
_BESIDE_LATIN = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f]|[^\x00-\x7f](?=[A-Za-z])")
_TWO_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u9fff]{2}")
_PRIVATE = re.compile("[\ue000-\uf8ff]")
_HANGUL = re.compile("[\uac00-\ud7a3]+")
_CYRILLIC = re.compile(
    "(?![ЪЫЬъыь])(?=\\w*[аеёиіїоуъыэюяєАЕЁИІЇОУЪЫЭЮЯЄ])(?:[\u0400-\u042f\u0490]?[\u0430-\u045f\u0491]+|[\u0400-\u042f\u0490]+)"
)
_WORD = re.compile(r"[^\W\d_]+")
_POINTS = re.compile("[\u05b0-\u05c2\u064b-\u0652]")
_THAI = re.compile("[\u0e01-\u0e4e]+")
_THAI_SIGN = re.compile("[\u0e30-\u0e4e]")
# Marks without a letter before them, vowels without one after them, letters that nobody has used for a century,
# digits within words, letters beside those of others.
_NO_THAI = re.compile(
    "(?:^|[^\u0e01-\u0e4e])[\u0e30-\u0e3a\u0e47-\u0e4e]|[\u0e40-\u0e44](?![\u0e01-\u0e2e])"
    "|[\u0e31\u0e34-\u0e3a\u0e47-\u0e4e]{3}|[A-Za-z][\u0e01-\u0e4e]|[\u0e01-\u0e4e][A-Za-z]"
    "|[\u0e03\u0e05]|[\u0e01-\u0e4e][\u0e50-\u0e59][\u0e01-\u0e4e]"
    "|[^\x00-\x7f\u0e01-\u0e5b\u2013-\u201d\u2026\xa0]"
)
# What stands beside words in text, of all that has a code beyond ASCII and is no letter or mark of one.
_USUAL_SIGNS = re.compile(
    "[\xa0\xab\xbb\xb7\xb0\u2010-\u2026\u2039\u203a\u20ac\u2116\u060c\u061b\u061f\u05be\u05f3\u05f4\u200e\u200f]"
)
# How often the frequency of letters falls to 1/e from the most common one to the rarest; what a sign that is no letter
# costs, and what large letters do.
_FALLS, _OF_A_SIGN, _ALL_LARGE = 3.7, 4.0, 2.0
# Less is as likely one of the other languages.
LEAST_THAI = 12


def _share(text: str, encoding: str, *ranges: tuple[int, int]) -> float:
    """Return which share of the letters, without those of ASCII, has codes of `encoding` in one of the ranges."""
    letters = [letter for letter in text if letter > "\x7f" and letter.isalpha()]
    codes = [int.from_bytes(letter.encode(encoding, "ignore")) for letter in letters]
    return sum(any(first <= code <= last for first, last in ranges) for code in codes) / max(1, len(codes))


def _signs(share: float, encoding: str, *ranges: tuple[int, int]) -> Callable[[str], bool]:
    """Tell text of Chinese or Japanese, of which that share is common signs."""

    def fits(text: str) -> bool:
        if not _TWO_SIGNS.search(text) or _PRIVATE.search(text) or _share(text, encoding, *ranges) < share:
            return False
        return len(_BESIDE_LATIN.findall(text)) * 2 < sum(letter > "\x7f" and letter.isalpha() for letter in text)

    return fits


def _thai(text: str) -> bool:
    runs = _THAI.findall(text)
    letters = sum(map(len, runs))
    words = sum(len(run) for run in runs if len(run) > 2 and _THAI_SIGN.search(run))
    return letters >= LEAST_THAI and words >= 0.8 * letters and not _NO_THAI.search(text)


def _is_written(text: str, alphabet: re.Pattern[str]) -> bool:
    """Tell text whose words, of two letters and more, are of an alphabet, in which one may be written so."""
    words = [word for word in _WORD.findall(_POINTS.sub("", text)) if not word.isascii() and len(word) > 1]
    letters = sum(len(word) for word in words if alphabet.fullmatch(word))
    enough = letters > 2 and letters >= 0.9 * sum(map(len, words))
    signs = (sign for sign in _USUAL_SIGNS.sub("", text) if sign > "\x7f")
    return enough and all(unicodedata.category(sign)[0] in "LM" for sign in signs)


def _latin(alphabet: str, *telling: str) -> Callable[[str], bool]:
    """Tell text whose letters beyond ASCII are all of an alphabet, some of them of each of those that tell it."""
    sets = [{*letters, *letters.upper()} for letters in telling]

    def fits(text: str) -> bool:
        letters = {letter for letter in text if letter > "\x7f" and letter.isalpha()}
        return letters <= {*alphabet, *alphabet.upper()} and all(letters & of_it for of_it in sets)

    return fits


def _any_korean(text: str) -> bool:
    runs = _HANGUL.findall(text)
    if any(len(run) > 1 or _share(run, "euc_kr", *_COMMON_HANGUL) for run in runs):
        return True
    return len(runs) > 1 and not _BESIDE_LATIN.search(text)


_COMMON_HANGUL = ((0xA4A1, 0xA4D3), (0xB0A1, 0xC8FE))
_AFTER = "big5"
# Encodings of one alphabet each: what words are of it, without letters where none has them, and its letters without
# accents, the most common first.
_CYRILLIC_LETTERS = "оеаинтсрвлкмдпуяыьгзбчхжшюіцщъэфєјћљњђџґ"
_GREEK, _GREEK_LETTERS = re.compile("[Ά-ΏΑ-Ϋ]?[ΐά-ία-\u03c1\u03c3-ώ]*ς?|[Ά-ΏΑ-Ϋ]+"), "αοτεινησρπυκςμλγδωχθφβξζψ"
_HEBREW, _HEBREW_LETTERS = (
    re.compile("[\u05d0-\u05d9כלמנ\u05e1עפצ-ת\u05f0-\u05f4]+(?:[ךםןףץ]|(?<![כמנצ]))"),
    "יהולארתבמשענםכדחקפסזןטצגךףץ",
)
_ARABIC = re.compile("(?![ءؤئةى])[\u0621-\u0652پچژگکی\u200c]+")
_ALPHABETS = (
    ("cp1251", "Cyrillic", _CYRILLIC, _CYRILLIC_LETTERS),
    ("koi8_u", "Cyrillic", _CYRILLIC, _CYRILLIC_LETTERS),
    ("cp866", "Cyrillic", _CYRILLIC, _CYRILLIC_LETTERS),
    ("cp1253", "Greek", _GREEK, _GREEK_LETTERS),
    ("iso8859_7", "Greek", _GREEK, _GREEK_LETTERS),
    ("cp1255", "Hebrew", _HEBREW, _HEBREW_LETTERS),
    ("cp1256", "Arabic or Persian", _ARABIC, "الينموترهبعدسفكقحةجشصطیىخضذزثغءظکگپچژ"),
)
# In the order in which they are tried: text of one is often text of another, too, but with letters that nobody uses.
_GUESSES: tuple[tuple[str, str, Callable[[str], bool]], ...] = (
    ("cp949", "Korean", lambda text: _share(text, "euc_kr", *_COMMON_HANGUL) >= 0.8),
    ("cp874", "Thai", _thai),
    ("cp932", "Japanese", _signs(0.3, "cp932", (0x8140, 0x8396))),
    ("gb18030", "simplified Chinese", _signs(0.9, "gb2312", (0xB0A1, 0xD7FE))),
    (_AFTER, "traditional Chinese", _signs(0.9, "big5", (0xA440, 0xC67E))),
    ("cp949", "Korean", _any_korean),
    ("cp1254", "Turkish", _latin("çğıİöşüâîû", "ğışİ", "üçı")),
    ("cp1250", "Polish", _latin("ąćęłńóśźż", "ąłź", "ęćńóśż")),
    ("cp1250", "Hungarian", _latin("áéíóöőúüű", "őű", "á", "öü")),
    ("cp1250", "Romanian", _latin("ăâîşţ", "şţ", "ăâî")),
    ("cp1250", "a language of central Europe", _latin("áčďéěíňóřšťúůýžľĺôŕäćđ", "šžť", "áčéěířýúůôľćđ")),
    ("cp1257", "Lithuanian", _latin("ąčęėįšųūž", "šž", "ėųū")),
    ("cp1257", "Latvian", _latin("āčēģīķļņšūž", "šž", "āēī")),
    ("cp1252", "a Western language", lambda text: True),
)


# --- what cannot be read is left out, and told, one by one ----------------------------------------


NUMBER = re.compile(r"[ \t]*\d{1,9}[ \t]*")
"""The line before the times of a caption of SubRip."""
_BEGINS_AS_TIMES = re.compile(r"[ \t]*+(?=.*\d:\d)(?:[-\d]|-->)")
_READ_ALONE = re.compile(r"[ \t]*+(Dialogue|Comment|Style):")
_TOLD = 40


def without_untimed(text: str, is_times: Callable[[str], object], report: Report) -> str:
    """Return SubRip or WebVTT without the captions that have an arrow in a line of no times, by `is_times`.

    Such a caption ends at an empty line, or where the next one begins. It takes as long as the text is.
    """
    kept: list[str] = []
    leaving, before = False, ""
    for number, line in enumerate(text.split("\n"), 1):
        times = "-->" in line and bool(is_times(line))
        if "-->" in line and not times and _BEGINS_AS_TIMES.match(line):
            _tell(number, line, report)
            if not leaving and kept and NUMBER.fullmatch(kept[-1]):
                kept.pop()
            leaving = True
        elif leaving and (times or not line.strip()):
            leaving = False
            if times and NUMBER.fullmatch(before):
                kept.append(before)
        if not leaving:
            kept.append(line)
        before = line
    return "\n".join(kept)


def readable_lines(text: str, kind: str, report: Report) -> str:
    """Return .ass or .ssa without the lines of styles, dialogue, and comments, that cannot be read."""
    kept = []
    for number, line in enumerate(text.split("\n"), 1):
        alone = _READ_ALONE.match(line)
        if not alone or _is_read(line, kind):
            kept.append(line)
        elif alone[1] == "Style":
            done = f"cannot be read, `{line.strip()[:_TOLD]}`, and was left out: what has it looks as without a style"
            report.warn("style of captions", f"line {number}", done, hint="Write it as the other styles.")
        else:
            _tell(number, line, report)
    return "\n".join(kept)


def _is_read(line: str, kind: str) -> bool:
    try:
        pysubs2.SSAFile.from_string(line, format_=kind)
    except ValueError:
        return False
    return True


def nothing_left(what: str, report: Report) -> ScenarioError:
    """Return the error to raise for a file without a caption, which says what was left out."""
    left_out = "".join(f" {line}" for line in report.warnings[:1])
    return ScenarioError(f"{report.origin} holds no {what}.{left_out}", hint="Check that it is the right file.")


def _tell(number: int, line: str, report: Report) -> None:
    done = f"has times that cannot be read, `{line.strip()[:_TOLD]}`, and was left out with its words"
    report.warn("times of a caption", f"line {number}", done, hint="Write them as in the other captions.")
