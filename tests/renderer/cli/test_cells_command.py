"""`ecg-render cells` shows and empties what renders keep."""

from __future__ import annotations

from pathlib import Path

from command_line import ecg_render, workplace


def test_what_a_render_kept_is_shown_used_again_and_cleared(tmp_path: Path) -> None:
    workplace(tmp_path)
    store = tmp_path / "cache/ecg-render/cells"
    none = ecg_render("cells", "--json", cwd=tmp_path)
    limits = {"limitBytes": 10 * 1000**3, "folder": str(store)}
    assert none.json == {"cells": 0, "bytes": 0, "cleared": False, **limits}

    first = ecg_render("run", "job.yaml", "--segments", "3", cwd=tmp_path)
    assert "reused    0 of 3 cells from the store" in first.err
    size = sum(path.stat().st_size for path in store.glob("*.mp4"))
    shown = ecg_render("cells", "--json", cwd=tmp_path)
    assert shown.json == {"cells": 3, "bytes": size, "cleared": False, **limits}
    assert ecg_render("cells", cwd=tmp_path).out == f"3 cells, {size / 1000:.1f} kB of at most 10.0 GB, in {store}\n"

    again = ecg_render("run", "job.yaml", "--segments", "3", cwd=tmp_path)
    assert "reused    3 of 3 cells from the store" in again.err
    assert "nothing to capture" in again.err

    cleared = ecg_render("cells", "--clear", "--json", cwd=tmp_path)
    assert cleared.json == {"cells": 3, "bytes": size, "cleared": True, **limits}
    assert [path for path in store.rglob("*") if path.is_file()] == []
    assert ecg_render("cells", "--clear", cwd=tmp_path).out == f"Removed 0 cells, 0 bytes, from {store}.\n"


def test_a_plan_tells_what_the_store_has_already(tmp_path: Path) -> None:
    workplace(tmp_path)
    kept = tmp_path / "kept"
    options = ["--segments", "3", "--cells", kept]
    assert ecg_render("run", "job.yaml", "--quiet", *options, cwd=tmp_path).code == 0
    assert not (tmp_path / "cache/ecg-render/cells").exists(), "another store was named"
    plan = ecg_render("plan", "job.yaml", "--json", *options, cwd=tmp_path).json
    assert ([cell["reused"] for cell in plan["cells"]], plan["segments"]) == ([True] * 3, [])
    assert ecg_render("cells", "--cells", kept, "--json", cwd=tmp_path).json["cells"] == 3


def test_the_limit_is_a_setting(tmp_path: Path) -> None:
    workplace(tmp_path)
    changes = {"ECG_CELLS_GB": "0.000001"}
    ended = ecg_render("run", "job.yaml", "--quiet", cwd=tmp_path, changes=changes)
    assert ended.code == 0, ended.err
    kept = ecg_render("cells", "--json", cwd=tmp_path, changes=changes).json
    assert (kept["limitBytes"], kept["cells"]) == (1000, 0)

    refused = ecg_render("cells", cwd=tmp_path, changes={"ECG_CELLS_GB": "much"})
    assert refused.code == 68
    assert "ECG_CELLS_GB: 'much' is not a number" in refused.err
