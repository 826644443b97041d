"""What the cluster is made of: programs built from pinned modules, and a control plane that can lose its API server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import go_tools
from control_plane import ControlPlane
from go_tools import ToolMissing, tool

BUILD_PAUSE = "import go_tools; print(go_tools.tool('pause'))"


def test_two_that_ask_for_a_program_build_it_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BUILD_PAUSE]
    environment = {**_environment(), "ECG_TOOLS": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate(timeout=120)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    assert said.count("building pause") == 1
    assert (tmp_path / "pause").stat().st_mode & 0o111


def test_a_changed_lock_builds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "modules" / "pause"
    module.mkdir(parents=True)
    for file in (go_tools.MODULES / "pause").iterdir():
        (module / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(go_tools, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(go_tools, "FOLDER", tmp_path / "bin")

    first = tool.__wrapped__("pause").stat().st_mtime_ns
    assert tool.__wrapped__("pause").stat().st_mtime_ns == first
    (module / "go.mod").write_text((module / "go.mod").read_text() + "\n// changed\n")
    assert tool.__wrapped__("pause").stat().st_mtime_ns > first


def test_without_go_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(go_tools, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", "")
    go_tools._go.cache_clear()
    with pytest.raises(ToolMissing, match="golang"):
        tool.__wrapped__("pause")


def test_the_oldest_go_that_is_taken_builds_every_module_and_the_fetched_one_is_no_older() -> None:
    files = go_tools.MODULES.glob("*/go.mod")
    asked = [re.findall(r"^go (\S+)$", file.read_text(), re.M)[0] for file in files]
    assert max(_version(text) for text in asked) <= go_tools.OLDEST_GO <= _version(go_tools.GO_VERSION)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_the_api_server_comes_back_with_its_data_and_leaves_no_process(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "plane", controllers=True) as plane:
        plane.kubectl("create", "configmap", "kept", "--from-literal=key=value")
        address = plane.url

        plane.kill_api_server()
        assert not plane.is_ready()
        plane.start_api_server()

        assert plane.url == address
        assert json.loads(plane.kubectl("get", "configmap", "kept", "--output=json"))["data"] == {"key": "value"}
        plane.kubectl("create", "serviceaccount", "nobody")
        somebody = f"--kubeconfig={plane.kubeconfig_for('nobody', 'default')}"
        assert "forbidden" in plane.kubectl(somebody, "get", "pods", check=False).lower()
        assert _processes(tmp_path)
    assert not _processes(tmp_path)


def _processes(folder: Path) -> list[str]:
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline", "status"])]
    return [command for command in commands if str(folder) in command]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(go_tools.__file__).parent)}
