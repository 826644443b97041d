"""What is fetched from an origin, once, and what an origin may not do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from ecg_common.addresses import AddressRefused
from ecg_renderer import origin as fetching
from ecg_renderer.errors import ManifestError, OptionsError, RenderError, ScenarioError, ServiceUnreachable
from ecg_renderer.origin import fetch_plugins, sheet_of
from ecg_renderer.request import PluginOrigins
from ecg_renderer.served import Fetched, PluginModule
from plugin_origin import GIF, GIF_FRAMES, KEYS, Answer, Origin, flame, plugins, serving

MEGABYTE = 1024 * 1024


@pytest.fixture
def origin() -> Iterator[Origin]:
    with serving(plugins()) as served:
        yield served


def fetched(origin: Origin, *keys: str, also: tuple[str, ...] = ()) -> Fetched:
    chosen = PluginOrigins(allowed=(origin.url, *also)).choose(origin.url)
    assert chosen
    return asyncio.run(fetch_plugins(chosen, keys))


def refused(origin: Origin, kind: type[RenderError], key: str = "slide@2.0.0") -> str:
    with pytest.raises(kind) as caught:
        fetched(origin, key)
    return f"{caught.value.message} {caught.value.hint}"


def test_a_plugin_comes_with_all_that_it_names_and_each_file_is_asked_for_once(origin: Origin) -> None:
    found = fetched(origin, *KEYS)

    assert set(found.modules) == set(KEYS)
    files = {f"{key}/{path}": body for key, module in found.modules.items() for path, body in module.files.items()}
    assert files == plugins()
    assert sorted(origin.asked) == sorted(plugins())
    assert found.warnings == ()


def test_what_is_not_there_is_left_out(origin: Origin) -> None:
    origin.answers["flame@2.0.0/index.mjs"].status = 403  # as S3 answers those who may not list
    found = fetched(origin, "slide@2.0.0", "flame@2.0.0", "slide@1.0.0", "nothing@2.0.0", "../etc@2.0.0", "a/b@1")

    assert set(found.modules) == {"slide@2.0.0"}
    assert not [path for path in origin.asked if ".." in path or path.startswith("a/")]


def test_a_picture_that_is_not_there_is_named(origin: Origin) -> None:
    del origin.answers[f"flame@2.0.0/{GIF}"]
    found = fetched(origin, "flame@2.0.0")

    assert found.warnings == (f"flame@2.0.0 names {GIF}, which the plugin origin does not have.",)


def test_a_redirect_to_an_allowed_origin_is_followed(origin: Origin) -> None:
    with serving(plugins()) as storage:
        origin.answers["slide@2.0.0/index.mjs"] = Answer(
            status=302, location=f"{storage.url}/plugins/slide@2.0.0/index.mjs"
        )
        found = fetched(origin, "slide@2.0.0", also=(storage.url,))

    assert found.modules["slide@2.0.0"].files["index.mjs"] == plugins()["slide@2.0.0/index.mjs"]


@pytest.mark.parametrize(
    "there", ["http://127.0.0.1:9/x", "https://127.0.0.1/x", "http://169.254.169.254/", "file:///etc/passwd"]
)
def test_a_redirect_to_anywhere_else_within_is_refused(origin: Origin, there: str) -> None:
    origin.answers["slide@2.0.0/index.mjs"] = Answer(status=302, location=there)
    assert "leads to an address that may not be asked" in refused(origin, ManifestError)


def test_signed_addresses_of_a_public_storage_may_be_asked() -> None:
    chosen = PluginOrigins(allowed=("https://plugins.example.com",)).choose("https://plugins.example.com/")
    assert chosen
    chosen.policy.check("https://bucket.s3.amazonaws.com/plugins/glow@2.0.0/index.mjs?X-Amz-Signature=1")
    with pytest.raises(AddressRefused):
        chosen.policy.check("http://bucket.s3.amazonaws.com/plugins/glow@2.0.0/index.mjs")


def test_a_slow_origin_is_given_up(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.4)
    origin.answers["slide@2.0.0/lib/ease.mjs"].seconds = 120
    began = time.monotonic()

    assert "did not give all plugins within 0.4 s" in refused(origin, ServiceUnreachable)
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("broken", [Answer(status=500), Answer(b"x" * 1000, cut=500)])
def test_an_origin_that_goes_away_half_way_may_be_asked_again_later(origin: Origin, broken: Answer) -> None:
    origin.answers["slide@2.0.0/lib/ease.mjs"] = broken
    refused(origin, ServiceUnreachable)
    assert origin.asked.count("slide@2.0.0/lib/ease.mjs") == 3


def test_nobody_at_the_address_is_no_reason_to_take_other_plugins(origin: Origin) -> None:
    with serving({}) as gone:
        pass
    assert "cannot be read" in refused(gone, ServiceUnreachable)


def test_large_files_are_refused(origin: Origin) -> None:
    origin.answers["slide@2.0.0/index.mjs"].body = b"/" * (2 * MEGABYTE + 1)
    assert "index.mjs of slide@2.0.0 is larger than 2 MB" in refused(origin, ScenarioError)


def test_a_job_gets_so_much_and_no_more(origin: Origin) -> None:
    names = [f"assets/{number}.png" for number in range(9)]
    origin.answers["slide@2.0.0/index.mjs"].body = " ".join(map(repr, names)).encode()
    for name in names:
        origin.answers[f"slide@2.0.0/{name}"] = Answer(b"x" * (2 * MEGABYTE - 1))
    assert "more than 16 MB together" in refused(origin, ScenarioError)


def test_so_many_files_and_no_more(origin: Origin) -> None:
    origin.answers["slide@2.0.0/index.mjs"].body = " ".join(f"'{number}.png'" for number in range(70)).encode()
    assert "names more than 64 files" in refused(origin, ScenarioError)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [(b"<html>", "no JSON object"), (b"[]", "no JSON object"), (b'{"entry": "../../x.mjs"}', "no path below it")],
)
def test_a_broken_manifest_is_named(origin: Origin, manifest: bytes, said: str) -> None:
    origin.answers["slide@2.0.0/manifest.json"].body = manifest
    assert said in refused(origin, ScenarioError)


def test_only_origins_that_are_allowed_here_can_be_named() -> None:
    origins = PluginOrigins.from_environment(
        {"ECG_PLUGIN_ORIGIN": "https://a.example/", "ECG_PLUGIN_ORIGINS": "https://b.example, http://c:3300/api/v1"}
    )

    assert [origins.choose(wanted).address for wanted in (None, "https://b.example/", "http://c:3300/api/v1")] == [  # type: ignore[union-attr]
        "https://a.example", "https://b.example", "http://c:3300/api/v1",
    ]  # fmt: skip
    with pytest.raises(ManifestError, match=r"spec\.plugins\.origin: https://evil\.example .*ECG_PLUGIN_ORIGINS"):
        origins.choose("https://evil.example")
    assert PluginOrigins.from_environment({}).choose(None) is None
    with pytest.raises(OptionsError, match="ECG_PLUGIN_ORIGINS"):
        PluginOrigins.from_environment({"ECG_PLUGIN_ORIGINS": "plugins.example.com"})


def test_a_gif_becomes_one_picture_of_all_its_frames() -> None:
    sheet = sheet_of(flame())
    assert sheet
    assert [sheet.columns * sheet.rows >= GIF_FRAMES, sheet.plays] == [True, 0]
    assert sheet.ends == tuple(range(100, 100 * GIF_FRAMES + 1, 100))
    assert sheet_of(b"GIF89a, or what calls itself so") is None


def test_a_gif_of_endless_size_is_not_taken_apart() -> None:
    huge = bytearray(flame())
    huge[6:10] = b"\xff\xff\xff\xff"
    assert sheet_of(bytes(huge)) is None


def test_the_hash_tells_every_byte_apart() -> None:
    one, other = (PluginModule("a@1", {"manifest.json": b"{}", "index.mjs": body}) for body in (b"1", b"2"))
    assert one.digest != other.digest
