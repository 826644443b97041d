"""Fonts: those that come along are used, those of a scenario's own are fetched, those that are not there are named."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from captions import render_job, scenario
from captures import film, open_way, pictures_of
from clips import Clip, counter
from ecg_renderer.looking import Looker, told
from ecg_renderer.model import Film
from ecg_renderer.preparation import with_web_fonts
from ecg_renderer.scenario import Scenario, font_uses, prepare
from ecg_renderer.served import PACKAGES_FOLDER, FontUse, faces_of, packaged, stand_in
from renders import rendered

Json = dict[str, Any]

JUA = PACKAGES_FOLDER / "@fontsource/jua/files/jua-latin-400-normal.woff2"
LIVING = (
    "हिन्दी ไทย বাংলা தமிழ் ភាសាខ្មែរ မြန်မာ العربية עברית ქართული Հայերեն አማርኛ ગુજરાતી ਪੰਜਾਬੀ ಕನ್ನಡ తెలుగు മലയാളം සිංහල "
    "ລາວ བོད ᏣᎳᎩ "
    "한국어 日本語 中文 Ελληνικά Кириллица Tiếng Việt 🎉"
)


def lines(*texts: tuple[str, str]) -> Json:
    """Return a scenario with a cue for each (family, text), one below the other."""
    cues = []
    for number, (family, text) in enumerate(texts):
        word = {"id": f"w{number}", "eType": "text", "text": text, "style": {"fontFamily": family}}
        layout = {"anchor": "tl", "position": {"x": 0.05, "y": 0.05 + 0.2 * number}}
        root = {"id": f"r{number}", "eType": "group", "displayTime": [0, 0.5], "layout": layout, "children": [word]}
        cues.append({"id": f"c{number}", "track": "caption", "root": root})
    return scenario(cues)


def prepared(raw: Json) -> Scenario:
    return prepare(raw, duration=1, rate=Fraction(30), known_plugins={})


def seen(raw: Json) -> list[str]:
    ready = prepared(raw)

    async def look() -> list[str]:
        async with Looker(None, {}) as looker:
            return told(await looker.fonts(Film(ready.data, (), 640, 360, Fraction(30), fonts=ready.fonts), ready))

    return asyncio.run(look())


def drawn(shot: Film) -> np.ndarray[Any, Any]:
    async def look() -> Any:
        async with open_way("canvas", shot) as capture:
            return (await pictures_of(capture, shot.blocks, shot.whole))[5]

    picture: np.ndarray[Any, Any] = asyncio.run(look())
    return picture


# --- what comes along -----------------------------------------------------------------------------


def test_only_files_with_a_letter_that_is_written_are_given_to_the_page() -> None:
    needed = faces_of([FontUse(("Jua", "serif"), "bold", "Ab한")])
    assert [face["url"].split("jua-")[1] for face in needed["faces"]] == [
        f"{part}-400-normal.woff2" for part in ("118", "119", "latin")
    ]
    assert needed["texts"] == [{"family": "Jua", "weight": "bold", "text": "Ab한"}]
    for face in needed["faces"]:
        assert (PACKAGES_FOLDER.parent / face["url"].lstrip("/")).is_file()


@pytest.mark.parametrize("name", ["../../x", "..", "", "/etc", "Exo 2", "jua/files", "a\0b"])
def test_a_family_that_did_not_come_along_is_no_file(name: str) -> None:
    assert packaged(name) is None


def test_every_stand_in_came_along_with_all_of_hangul() -> None:
    for name in ("맑은 고딕", "dotum", "굴림", "바탕", "roboto", "NanumGothic"):
        family = packaged(stand_in(name))
        assert family is not None, name
        if name != "roboto":
            assert len(family.parts("가힣A")) >= 2, name


def test_a_family_that_came_along_is_drawn() -> None:
    pictures = [
        drawn(film(0.5, plugins=(), captions=lines((family, "한글 Abc")))) for family in ("Jua", "Arial", "주아")
    ]
    assert not np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[1][..., 3].any(), pictures[2][..., 3].any())


# --- what is not there ----------------------------------------------------------------------------


def test_living_scripts_have_letters_and_what_has_none_is_named_with_cue_and_word() -> None:
    said = seen(lines(("Arial", LIVING), ("Helvetica", "ok"), ("Noto Sans KR, Exo 2", "한글"), ("Arial", "no \u0378")))
    assert [line.split(":")[0] for line in said] == ["cues[3].root.children[0]"]
    assert 'U+0378) is in no font here and becomes a box (cue "c3", "no ' in said[0]


def test_a_family_that_is_not_there_is_named_with_what_stands_in_for_it() -> None:
    said = seen(lines(("'Exo 2', serif", "one"), ("맑은 고딕", "둘"), ("Jua", "셋"), ("Liberation Sans", "four")))
    assert len(said) == 2
    assert 'cues[0].root.children[0]: asks for the font "Exo 2", which is not here; Liberation Serif stands' in said[0]
    assert '"맑은 고딕", which is not here; Noto Sans KR stands' in said[1]


def test_a_run_names_missing_letters_and_text_that_leaves_the_picture(tmp_path: Path) -> None:
    raw = lines(("Exo 2", "fits"), ("Arial", "x" * 200))
    job = render_job(counter(Clip(frames=15)), raw, tmp_path / "out.mp4")
    warnings = rendered(job, tmp_path).warnings
    assert [line for line in warnings if ('"Exo 2"' in line and "Sans" in line) or "Serif" in line]
    assert [line for line in warnings if line.startswith("cues[1].root.children[0]: leaves the picture")]


# --- a scenario's own -----------------------------------------------------------------------------


@pytest.fixture
def site() -> Iterator[tuple[str, dict[str, bytes]]]:
    pages: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", pages
    server.shutdown()
    thread.join()
    server.server_close()


def with_font(url: str) -> Json:
    return {**lines(("Brand", "Abc")), "define": {"Brand": {"type": "font", "url": url}}}


def test_a_font_behind_an_address_is_fetched_drawn_and_part_of_the_film(site: tuple[str, dict[str, bytes]]) -> None:
    url, pages = site
    pages["/brand.woff2"] = JUA.read_bytes()
    ready = asyncio.run(with_web_fonts(prepared(with_font(f"{url}/brand.woff2"))))
    assert ready.data["define"]["Brand"]["url"].startswith("data:font/woff2;base64,")
    shot = film(0.5, plugins=(), captions=lines(("Brand", "Abc")))
    own = replace(shot, scenario={**shot.scenario, "define": ready.data["define"]}, fonts=font_uses(ready.data))
    assert own.contents() != shot.contents()
    assert len(str(own.contents())) < 20_000  # hashed for each cell
    jua = drawn(film(0.5, plugins=(), captions=lines(("Jua", "Abc"))))
    assert np.array_equal(drawn(own), jua)
    assert not np.array_equal(drawn(shot), jua)


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone.woff2", "404"), ("/page.html", "is no font"), ("/huge.woff2", "larger than")],
)
def test_a_font_that_cannot_be_had_is_named(path: str, said: str, site: tuple[str, dict[str, bytes]]) -> None:
    url, pages = site
    pages |= {"/page.html": b"<html>", "/huge.woff2": b"wOF2" + bytes(9 * 1024 * 1024)}
    ready = asyncio.run(with_web_fonts(prepared(with_font(url + path))))
    assert "Brand" not in ready.data["define"]
    assert ready.findings[-1].path == "define.Brand.url"
    assert said in ready.warnings[-1]


def test_private_addresses_are_refused_where_a_service_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_PRIVATE_ADDRESSES", "refuse")
    ready = asyncio.run(with_web_fonts(prepared(with_font("https://169.254.169.254/f.woff2"))))
    assert "cannot be had" in ready.warnings[-1]


@pytest.mark.parametrize("url", ["/etc/passwd", "file:///etc/passwd", "s3://bucket/f.woff2", "ftp://h/f"])
def test_fonts_are_read_from_the_web_alone(url: str) -> None:
    ready = prepared(with_font(url))
    assert "url" not in ready.data["define"]["Brand"]
    assert any("was removed" in line for line in ready.warnings)


def test_names_and_weights_that_css_does_not_know_do_no_harm() -> None:
    raw = lines(("Jua", "Abc"), ("Brand", "Abc"))
    raw["cues"][0]["root"]["children"][0]["style"]["fontWeight"] = "heavy; }"
    raw["define"] = {'a"} b\\': {"type": "font", "url": "data:font/woff2;base64,AA"}}
    assert drawn(film(0.5, plugins=(), captions=raw))[..., 3].any()
    assert len(seen(raw)) == 1
