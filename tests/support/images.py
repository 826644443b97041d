"""Our container images as archives for the test cluster, built from the Dockerfiles with buildah. Needs root.

    archive("renderer") -> ~/.cache/ecg-render/images/renderer-test.tar

Images and layers are kept in a storage of the tests' own, so that nobody finds our base image under Debian's name.
The base image is Debian's from the registry where one is reachable, otherwise it is made from Debian's packages.

    python tests/support/images.py [renderer | operator] ...     build, print the paths of the archives
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path("~/.cache/ecg-render/images").expanduser()
BASE = "docker.io/library/debian:bookworm-slim"
TAG = "test"
NAMES = ("renderer", "operator")
PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
PULL_SECONDS = 20
CA_BUNDLES = (os.environ.get("SSL_CERT_FILE", ""), "/etc/ssl/certs/ca-certificates.crt")


class CannotBuild(Exception):
    """An image cannot be built; the message says why."""


def image(name: str, tag: str = TAG) -> str:
    """Return the name by which pods ask for our image `name`."""
    return f"localhost/ecg-render-{name}:{tag}"


@functools.cache
def archive(name: str, tree: Path = ROOT, tag: str = TAG) -> Path:
    """Build our image `name` from a working tree and return its archive; raise CannotBuild."""
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if missing:
        raise CannotBuild(f"missing here: apt-get install {' '.join(missing)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make_base()
        build = " ".join([*_buildah(), "bud", "--layers", "--pull-never"])
        settings = {"BUILDER": build, "BUILD_ARGUMENTS": f"--network host -v {_home()}:/root", "TAG": tag}
        _run([tree / "scripts" / "images", name], settings)
        return _export(name, tag)


def _export(name: str, tag: str) -> Path:
    file, noted = FOLDER / f"{name}-{tag}.tar", FOLDER / f".{name}-{tag}.id"
    identity = _run([*_buildah(), "inspect", "--type", "image", "--format", "{{.FromImageID}}", image(name, tag)])
    if not (file.exists() and noted.exists() and noted.read_text() == identity):
        file.unlink(missing_ok=True)
        _run([*_buildah(), "push", "--quiet", image(name, tag), f"docker-archive:{file}:{image(name, tag)}"])
        noted.write_text(identity)
    return file


def _make_base() -> None:
    if not _fails([*_buildah(), "inspect", "--type", "image", BASE]):
        return
    if not _fails([*_buildah(), "pull", "--quiet", BASE], PULL_SECONDS):
        return
    tar = FOLDER / "base.tar"
    # The same files as Debian's slim image: essential packages and apt, neither manuals nor translations.
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")]
    _run(["mmdebstrap", "--quiet", "--variant=minbase", *left_out, "bookworm", tar])
    container = _run([*_buildah(), "from", "scratch"]).strip()
    _run([*_buildah(), "add", "--quiet", container, tar, "/"])
    _run([*_buildah(), "commit", "--quiet", "--rm", container, BASE])
    tar.unlink()


def _buildah() -> list[str]:
    return [
        "buildah",
        "--root",
        str(FOLDER / "storage"),
        "--runroot",
        "/run/ecg-render-images",
        "--storage-driver",
        "overlay",
    ]


def _home() -> Path:
    """Make the home of root during the build: the machine's package index and certificates for pip and npm.

    Behind a proxy with a certificate of its own they are needed, and mounted they do not get into the image.
    """
    home = FOLDER / "home"
    (home / ".config" / "pip").mkdir(parents=True, exist_ok=True)
    bundle = next((path for path in CA_BUNDLES if path and Path(path).is_file()), None)
    certificates = {"cert": "/root/ca.crt"} if bundle else {}
    if bundle:
        shutil.copy(bundle, home / "ca.crt")
    pip = ConfigParser()
    pip["global"] = _pip_settings() | certificates
    with (home / ".config" / "pip" / "pip.conf").open("w") as file:
        pip.write(file)
    registry = _output(["npm", "config", "get", "registry"])
    lines = [f"registry={registry}"] if registry.startswith("http") else []
    (home / ".npmrc").write_text("\n".join([*lines, *(["cafile=/root/ca.crt"] if bundle else []), ""]))
    return home


def _pip_settings() -> dict[str, str]:
    found = _output([sys.executable, "-m", "pip", "config", "get", "global.index-url"])
    return {"index-url": found} if found else {}


def _output(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""


def _fails(command: list[str], seconds: float | None = None) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds, check=False).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def _run(command: list[str | Path], settings: dict[str, str] | None = None) -> str:
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot", **(settings or {})}
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise CannotBuild(f"{Path(command[0]).name} failed:\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    try:
        for wanted in sys.argv[1:] or NAMES:
            sys.stdout.write(f"{archive(wanted)}\n")
    except CannotBuild as failed:
        sys.exit(f"images: {failed}")
