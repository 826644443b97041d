"""What is reported about an image, of archives as image builders write them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

import bills
from scripts.image_report import CAPABILITIES, Image, bill_of_materials, components, main, read_image, report

STATUS = """\
Package: ffmpeg
Status: install ok installed
Architecture: amd64
Version: 7:5.1.6-0+deb12u1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1
"""
METADATA = "Name: Typing_Extensions\nVersion: 4.15.0\nLicense-Expression: PSF-2.0\n\nText: no header"
FONT = {"name": "@fontsource/noto", "version": "5.0", "license": "OFL-1.1"}
SITE = "opt/lib/site-packages"
GOOD = {
    "var/lib/dpkg/status": STATUS,
    f"{SITE}/typing_extensions-4.15.0.dist-info/METADATA": METADATA,
    f"{SITE}/page/node_modules/@fontsource/noto/package.json": json.dumps(FONT),
    f"{SITE}/page/node_modules/@fontsource/noto/esm/package.json": '{"type": "module"}',
}


def test_packages_become_a_bill_of_materials_that_follows_the_schema(tmp_path: Path) -> None:
    image = _image(tmp_path, _layer(GOOD))

    assert {str(component.purl) for component in components(image)} == {
        "pkg:deb/debian/ffmpeg@7:5.1.6-0%2Bdeb12u1?arch=amd64",
        "pkg:pypi/typing-extensions@4.15.0",
        "pkg:npm/%40fontsource/noto@5.0",
    }
    text = bill_of_materials(image)
    assert bills.problem(text) is None
    assert json.loads(text)["metadata"]["component"]["name"] == "ecg-render-operator"


def test_what_a_later_layer_replaces_or_removes_is_not_in_the_image(tmp_path: Path) -> None:
    first = _layer({"a/old": "x", "a/kept": "x", "b/one": "x", "b/c/two": "x", "d/package.json": json.dumps(FONT)})
    second = _layer({"a/.wh.old": "", "b/.wh..wh..opq": "", "b/new": "x", ".wh.d": ""})

    image = _image(tmp_path, first, second)

    assert sorted(image.files) == ["a/kept", "b/new"]
    assert [*components(image)] == []


@pytest.mark.parametrize(
    ("user", "mode", "name", "extra", "said"),
    [
        ("", 0o755, "bin/sh", {}, "its process is root"),
        ("0:0", 0o755, "bin/sh", {}, "its process is root"),
        ("render", 0o755, "bin/sh", {}, "its process is root: USER is render"),
        ("10001", 0o4755, "bin/su", {}, "bin/su runs with its owner's"),
        ("10001", 0o2755, "bin/chage", {}, "bin/chage runs with its owner's"),
        ("10001", 0o666, "etc/hosts", {}, "etc/hosts may be written by anybody"),
        ("10001", 0o755, "bin/ping", {CAPABILITIES: "x"}, "bin/ping brings capabilities"),
    ],
)
def test_what_could_become_root_is_told_and_fails(
    tmp_path: Path, user: str, mode: int, name: str, extra: dict[str, str], said: str
) -> None:
    image = _image(tmp_path, _layer({name: "x"}, mode, extra), user=user)

    assert len(image.risks()) == 1 and said in image.risks()[0]
    assert said in report(image)
    assert main(tmp_path / "image.tar", tmp_path / "out") == 1


def test_an_image_without_risks_is_reported_with_its_layers(tmp_path: Path) -> None:
    _image(tmp_path, _layer(GOOD), _layer({"bin/tini": "x" * 3_000_000}))

    assert main(tmp_path / "image.tar", tmp_path / "out") == 0
    said = (tmp_path / "out" / "ecg-render-operator.txt").read_text()
    assert "2 layers, 5 files" in said and "3.0 MB  RUN step 1" in said and "risk: none" in said
    assert "1 of Debian, 1 of Python, 1 of npm" in said
    assert (tmp_path / "out" / "ecg-render-operator.cdx.json").exists()


def _image(folder: Path, *layers: bytes, user: str = "10001:10001") -> Image:
    """Write an archive as `docker save` does, and read it."""
    steps = [{"created_by": f"RUN step {number}"} for number in range(len(layers))]
    config = {"config": {"User": user}, "history": [*steps, {"created_by": "USER", "empty_layer": True}]}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["localhost/ecg-render-operator:1"], "Layers": names}]
    files: dict[str, Any] = {"config.json": json.dumps(config), "manifest.json": json.dumps(manifest)}
    (folder / "image.tar").write_bytes(_layer(files | dict(zip(names, layers, strict=True))))
    return read_image(folder / "image.tar")


def _layer(files: dict[str, Any], mode: int = 0o644, extra: dict[str, str] | None = None) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in files.items():
            entry, data = tarfile.TarInfo(name), text if isinstance(text, bytes) else text.encode()
            entry.size, entry.mode, entry.pax_headers = len(data), mode, extra or {}
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()
