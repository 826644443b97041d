"""What is in our images: nobody is root or becomes it, and the bill of materials names all that the lock files pin."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import bills
import images
from needs_root import needs_root
from scripts.image_report import Image, bill_of_materials, read_image

ROOT = Path(__file__).parents[2]
LOCKS = {"renderer": "requirements.lock", "operator": "requirements-operator.lock"}
HLS = ("operator/ecg_shim/page", "hls.js")
PAGE = "renderer/ecg_renderer/page"
NPM = {"renderer": [(PAGE, "gsap"), (PAGE, "motiontext-renderer"), HLS], "operator": [HLS]}
DEBIAN = {"renderer": {"chromium-headless-shell", "ffmpeg", "python3", "tini"}, "operator": {"python3", "tini"}}


@pytest.fixture(scope="module", params=images.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    needs_root()
    return str(request.param)


@pytest.fixture(scope="module")
def image(name: str) -> Image:
    return read_image(images.archive(name))


def test_nobody_in_an_image_is_root_or_becomes_it(image: Image) -> None:
    assert image.user == "10001:10001"
    assert image.risks() == []


def test_the_bill_of_materials_names_what_the_lock_files_pin_and_debians_parts(name: str, image: Image) -> None:
    text = bill_of_materials(image)
    assert bills.problem(text) is None
    purls = [one["purl"] for one in json.loads(text)["components"]]

    python = {purl.removeprefix("pkg:pypi/") for purl in purls if purl.startswith("pkg:pypi/")}
    assert python == pinned(LOCKS[name]) - pinned("requirements-build.lock") | {"ecg-render@0.1.0"}
    npm = {purl.removeprefix("pkg:npm/").replace("%40", "@") for purl in purls if purl.startswith("pkg:npm/")}
    for folder, package in NPM[name]:
        assert f"{package}@{version(folder, package)}" in npm
    assert {purl.split("@")[0].rpartition("/")[2] for purl in purls if purl.startswith("pkg:deb/")} > DEBIAN[name]


def pinned(lock: str) -> set[str]:
    """Return NAME@VERSION of each package that a lock file pins for this platform."""
    lines = re.findall(r"^([a-z0-9].*?) ?\\?$", (ROOT / lock).read_text(), re.M)
    found = [Requirement(line) for line in lines]
    return {
        f"{one.name}@{one.specifier}".replace("==", "") for one in found if one.marker is None or one.marker.evaluate()
    }


def version(folder: str, package: str) -> str:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    return str(lock["packages"][f"node_modules/{package}"]["version"])
