"""Earlier commits of this repository as they were, out of its history, and their images.

tree(FIRST) -> ~/.cache/ecg-render/releases/564b649..., with chart, Dockerfiles and code
archive(FIRST, "operator") -> the image that was built from it
"""

from __future__ import annotations

import functools
import io
import os
import re
import shutil
import subprocess
import tarfile
import textwrap
from pathlib import Path

import images
from go_tools import tool

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
FOLDER = Path("~/.cache/ecg-render/releases").expanduser()
FIRST = "564b64961f495b076720d12d849222cc72994ea6"
"""The first commit with a chart of operator and service that this release is to be upgraded from."""


class NoHistory(Exception):
    """The history lacks a commit; the message says what to do."""


@functools.cache
def tree(commit: str) -> Path:
    """Return a folder with all files of a commit; raise NoHistory where a shallow clone cannot get it."""
    folder = FOLDER / commit
    if not folder.exists():
        here = _git("cat-file", "-e", f"{commit}^{{commit}}")
        if here is None and _git("fetch", "--depth=1", "origin", commit) is None:
            raise NoHistory(f"commit {commit[:7]} is not in this clone: git fetch --unshallow")
        unfinished = FOLDER / f".{commit}.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", commit) or b"")) as files:
            files.extractall(unfinished, filter="tar")
        unfinished.rename(folder)
    return folder


def tag(commit: str) -> str:
    """Return the tag of a commit's images."""
    return commit[:7]


def archive(commit: str, name: str) -> Path:
    """Build the image `name` of a commit and return its archive; raise NoHistory, images.CannotBuild.

    Code and packages of Python and npm are the commit's. Those of Debian are today's: the last stage is that of our own
    recipe, whose layers are there already. That saves minutes.
    """
    dockerfile, ours = tree(commit) / f"Dockerfile.{name}", (ROOT / f"Dockerfile.{name}").read_text()
    stages = dockerfile.read_text().rpartition("\nFROM ")[0]
    dockerfile.write_text(
        stages.replace("ca-certificates python3-pip", "ca-certificates npm python3-pip")
        + ours[ours.rindex("\nFROM ") :]
    )
    return images.archive(name, tree(commit), tag(commit))


def commands(heading: str) -> str:
    """Return the first commands that docs/operations.md has below a bold heading."""
    found = re.search(r"\n\n((?:    .*\n)+)", OPERATIONS.read_text().split(f"**{heading}.**")[1])
    assert found is not None
    return textwrap.dedent(found[1])


def run(script: str, kubeconfig: Path, **variables: str) -> None:
    """Run commands of a person's shell, with kubectl and helm for a cluster; AssertionError with what they say."""
    path = os.pathsep.join([*(str(tool(name).parent) for name in ("kubectl", "helm")), os.environ["PATH"]])
    environment = {**os.environ, **variables, "PATH": path, "KUBECONFIG": str(kubeconfig)}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


def _git(*words: str) -> bytes | None:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    return done.stdout if done.returncode == 0 else None
