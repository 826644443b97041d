"""What is in a container image, read from its archive: layers and sizes, who runs, risky files, all packages.

    python scripts/image_report.py IMAGE.tar FOLDER     as `docker save` or `buildah push docker-archive:` write images

Writes FOLDER/NAME.cdx.json, the packages of Debian, Python and npm as a bill of materials (CycloneDX), and
FOLDER/NAME.txt, the rest for people, which it prints, too. Ends with 1 where something runs as root or may become it.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath
from typing import IO, Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

Json = dict[str, Any]

MEGABYTE = 1e6
SET_ID = 0o6000
OTHERS_WRITE = 0o002
STICKY = 0o1000
CAPABILITIES = "SCHILY.xattr.security.capability"
DPKG_STATUS = "var/lib/dpkg/status"
WHITEOUT, OPAQUE = ".wh.", ".wh..wh..opq"
LARGEST_TEXT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Layer:
    """A layer: bytes of its archive, uncompressed, and the command that made it."""

    size: int
    made_by: str


@dataclass
class Image:
    """An image: all of its files as a container sees them, and the texts of those that name packages.

    Attributes:
        config: as the registry has it: User, Env, Entrypoint.
        files: by path, without a slash at the beginning.
    """

    name: str
    config: Json
    layers: list[Layer]
    files: dict[str, tarfile.TarInfo] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of all layers."""
        return sum(layer.size for layer in self.layers)

    @property
    def user(self) -> str:
        """Who its process is, such as 10001:10001; empty is root."""
        return str(self.config.get("User") or "")

    def chosen(self, mode: int, without: int = 0) -> list[str]:
        """Return paths of files and folders that have one of the bits of `mode`, and none of `without`."""
        real = ((path, entry.mode) for path, entry in self.files.items() if entry.isfile() or entry.isdir())
        return sorted(path for path, its in real if its & mode and not its & without)

    @property
    def with_capabilities(self) -> list[str]:
        """Files that give who starts them capabilities."""
        return sorted(path for path, entry in self.files.items() if CAPABILITIES in entry.pax_headers)

    def risks(self) -> list[str]:
        """Return what runs as root, or lets a process become it, as sentences."""
        root = [f"its process is root: USER is {self.user or 'not set'}"] if not _is_plain_user(self.user) else []
        programs = [path for path in self.chosen(SET_ID) if self.files[path].isfile()]
        set_id = [f"{path} runs with its owner's or group's rights" for path in programs]
        capable = [f"{path} brings capabilities" for path in self.with_capabilities]
        writable = self.chosen(OTHERS_WRITE, without=STICKY)
        return [*root, *set_id, *capable, *(f"{path} may be written by anybody" for path in writable)]


def read_image(archive: Path) -> Image:
    """Read an image out of an archive of one; raises KeyError, ValueError or tarfile.TarError for anything else."""
    with tarfile.open(archive) as outer:
        (manifest,) = json.load(_member(outer, "manifest.json"))
        config = json.load(_member(outer, manifest["Config"]))
        commands = [step.get("created_by", "") for step in config.get("history", []) if not step.get("empty_layer")]
        sizes = [outer.getmember(name).size for name in manifest["Layers"]]
        layers = [Layer(size, command) for size, command in zip(sizes, commands, strict=True)]
        image = Image((manifest.get("RepoTags") or [archive.stem])[0], config.get("config", {}), layers)
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=_member(outer, name)) as layer:
                _lay_over(image, layer)
    return image


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is no file")
    return found


def _lay_over(image: Image, layer: tarfile.TarFile) -> None:
    """Put the files of a layer over those that are there; what it says is gone goes first."""
    entries = {entry.name.removeprefix("./").rstrip("/"): entry for entry in layer if entry.name not in (".", "./")}
    for path in entries:
        place = PurePosixPath(path)
        if place.name == OPAQUE:
            _remove(image, f"{place.parent}/")
        elif place.name.startswith(WHITEOUT):
            _remove(image, str(place.with_name(place.name.removeprefix(WHITEOUT))))
    for path, entry in entries.items():
        if PurePosixPath(path).name.startswith(WHITEOUT):
            continue
        image.files[path] = entry
        image.texts.pop(path, None)
        if entry.isfile() and entry.size <= LARGEST_TEXT and _names_packages(path):
            image.texts[path] = _member(layer, entry.name).read().decode(errors="replace")


def _remove(image: Image, path: str) -> None:
    """Forget a file, or all below a folder (with a slash at its end: only that)."""
    below = path if path.endswith("/") else f"{path}/"
    for gone in [one for one in image.files if one == path or one.startswith(below)]:
        del image.files[gone]
        image.texts.pop(gone, None)


def _names_packages(path: str) -> bool:
    return path == DPKG_STATUS or path.endswith((".dist-info/METADATA", "/package.json"))


def _is_plain_user(user: str) -> bool:
    """Tell whether a USER is a number that is not root's: Kubernetes' runAsNonRoot can check no name."""
    return bool(re.fullmatch(r"[1-9]\d*(:\d+)?", user))


def components(image: Image) -> Iterator[Component]:
    """Yield the packages in an image: those of Debian, of Python and of npm, each once."""
    seen = set()
    for path in sorted(image.texts):
        read = _of_dpkg if path == DPKG_STATUS else _of_npm if path.endswith(".json") else _of_python
        for component in read(image.texts[path]):
            if str(component.purl) not in seen:
                seen.add(str(component.purl))
                yield component


def _of_dpkg(status: str) -> Iterator[Component]:
    for paragraph in filter(str.strip, status.split("\n\n")):
        about = HeaderParser().parsestr(paragraph)
        if about["Status"] is None or about["Status"].endswith(" installed"):
            purl = PackageURL("deb", "debian", about["Package"], about["Version"], {"arch": about["Architecture"]})
            yield _component(purl)


def _of_python(metadata: str) -> Iterator[Component]:
    about = HeaderParser().parsestr(metadata)
    name = re.sub(r"[-_.]+", "-", about["Name"]).lower()
    yield _component(PackageURL("pypi", None, name, about["Version"]), about["License-Expression"])


def _of_npm(package: str) -> Iterator[Component]:
    about = json.loads(package)
    if isinstance(about.get("name"), str) and isinstance(about.get("version"), str):  # others only say what files are
        scope, _, name = about["name"].rpartition("/")
        license_ = about.get("license")
        yield _component(
            PackageURL("npm", scope or None, name, about["version"]), license_ if isinstance(license_, str) else None
        )


def _component(purl: PackageURL, license_: str | None = None) -> Component:
    licenses = [LicenseFactory().make_from_string(license_)] if license_ else []
    return Component(
        type=ComponentType.LIBRARY,
        group=purl.namespace if purl.type == "npm" else None,
        name=purl.name,
        version=purl.version,
        purl=purl,
        bom_ref=str(purl),
        licenses=licenses,
    )


def bill_of_materials(image: Image) -> str:
    """Return the packages of an image as CycloneDX in JSON."""
    bom = Bom(components=components(image))
    name, _, tag = image.name.rpartition("/")[2].partition(":")
    bom.metadata.component = Component(type=ComponentType.CONTAINER, name=name, version=tag, bom_ref=image.name)
    bom.register_dependency(bom.metadata.component, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def report(image: Image) -> str:
    """Return layers, sizes, the user and what is risky, for people."""
    kinds = [component.purl.type for component in components(image) if component.purl]
    risks = image.risks()
    return "\n".join([
        f"{image.name}: {image.size / MEGABYTE:.0f} MB, {len(image.layers)} layers, {len(image.files)} files",
        *(f"  {layer.size / MEGABYTE:7.1f} MB  {' '.join(layer.made_by.split())[:140]}" for layer in image.layers),
        f"user {image.user or 'root'}, starts {' '.join(image.config.get('Entrypoint') or [])}",
        f"packages: {kinds.count('deb')} of Debian, {kinds.count('pypi')} of Python, {kinds.count('npm')} of npm",
        *(f"risk: {risk}" for risk in risks or ["none: nobody is root, and nothing makes one root"]),
        "",
    ])  # fmt: skip


def main(archive: Path, folder: Path) -> int:
    """Write both files about the image of an archive."""
    image = read_image(archive)
    stem = image.name.rpartition("/")[2].partition(":")[0]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.cdx.json").write_text(bill_of_materials(image))
    said = report(image)
    (folder / f"{stem}.txt").write_text(said)
    sys.stdout.write(said)
    return 1 if image.risks() else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
