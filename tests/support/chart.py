"""The Helm chart as the real helm renders it.

objects("work.uri=s3://bucket/work", "service.enabled=true")     every object of a release `ecg-render` in `render`
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from go_tools import tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "ecg-render"
NAMESPACE = "render"
WORK = "work.uri=s3://bucket/work"
SERVICE = (WORK, "service.enabled=true", "service.bucket=videos")
Json = dict[str, Any]


def helm_template(
    *settings: str, values: tuple[Path, ...] = (), chart: Path = CHART
) -> subprocess.CompletedProcess[str]:
    """Render the chart with `settings` (NAME=VALUE, as --set takes them, or NAME:=JSON) over files of values."""
    given = [word for setting in settings for word in _option(setting)]
    files = [word for file in values for word in ("--values", str(file))]
    command = [tool("helm"), "template", "ecg-render", chart, "--namespace", NAMESPACE, *files, *given]
    return subprocess.run(command, capture_output=True, text=True)


def _option(setting: str) -> tuple[str, str]:
    name, as_json, value = setting.partition(":=")
    return ("--set-json", f"{name}={value}") if as_json else ("--set", setting)


def objects(*settings: str, values: tuple[Path, ...] = (), chart: Path = CHART) -> list[Json]:
    """Return the objects of the release; raise AssertionError with what helm says if it refuses."""
    done = helm_template(*settings, values=values, chart=chart)
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def of_kind(found: list[Json], kind: str, name: str = "") -> list[Json]:
    """Return the objects of a kind, and of a name if one is given."""
    return [one for one in found if one["kind"] == kind and name in ("", one["metadata"]["name"])]


def pod(found: list[Json], part: str) -> Json:
    """Return the pod spec of the Deployment whose name ends with `part`."""
    deployments = of_kind(found, "Deployment")
    spec: Json = next(one for one in deployments if one["metadata"]["name"].endswith(part))["spec"]["template"]["spec"]
    return spec


def container(found: list[Json], part: str = "operator") -> Json:
    """Return the container of the Deployment whose name ends with `part`."""
    only: Json = pod(found, part)["containers"][0]
    return only
