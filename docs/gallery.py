"""Draws docs/images/plugins: for each caption plugin a strip of its start, quarter, half, three quarters and end.

It also writes the table of their parameters in docs/plugins.md, from what page/plugins/NAME.json declares.

`make gallery` runs it. One clip shows all plugins at once, each in a cell of its own; `ecg-render still` takes its five
pictures, and the strips are cut out of those.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ecg_renderer.served import known_plugins

DOCUMENT = Path(__file__).with_name("plugins.md")
IMAGES = Path(__file__).with_name("images") / "plugins"
PROGRAM = Path(sys.executable).with_name("ecg-render")
WIDTH, HEIGHT, COLUMNS, ROWS = 1920, 1920, 3, 8
CELL = (WIDTH // COLUMNS, HEIGHT // ROWS)
SHOWN = (480, 230)  # of each cell; strips are half of that
MOMENTS = (1.0, 1.5, 2.0, 2.5, 3.0)  # of effects that last from second 1 to 3
TEXT = "Two words"

# Without a speaker there is no colour; halo and flames swing so often that every quarter would look the same.
PARAMS: dict[str, dict[str, Any]] = {
    "cwi-bouncing": {"color": "#ffd54a"},
    "cwi-color": {"color": "#ffd54a"},
    "flames": {"cycles": 1},
    "glow": {"cycles": 1},
}


_KINDS = {"boolean": "true, false", "string": "text", "color": "a colour", "palette": "colours by name"}
_TABLE = re.compile(r"\| plugin \| parameter \|.*?\n(?=\n)", re.DOTALL)


def parameter_table() -> str:
    """Return the table of the parameters that our plugins read, in Markdown."""
    head = "| plugin | parameter | default | range | what it is |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {f'`{name}`' if not number else ''} | {row} |\n"
        for name, schema in known_plugins().items()
        for number, row in enumerate(_rows(schema))
    )


def _rows(schema: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name, rule in schema.items():
        if "properties" in rule:
            yield from _rows(rule["properties"], f"{within}{name}.")
            continue
        known = f"{rule['min']} to {rule['max']}" if "min" in rule else ", ".join(rule.get("enum", ()))
        default = "" if rule["default"] in (None, "", {}) else json.dumps(rule["default"]).strip('"')
        cells = (default.replace("|", "&#124;"), known or _KINDS[rule["type"]], rule["description"])
        yield " | ".join([f"`{within}{name}`", *cells])


def main() -> None:
    """Write the table, and one PNG for each plugin and remove those of plugins that are no longer there."""
    names = list(known_plugins())
    if len(names) > COLUMNS * ROWS:
        sys.exit(f"gallery: {len(names)} plugins do not fit into {COLUMNS * ROWS} cells.")
    DOCUMENT.write_text(_TABLE.sub(lambda _: parameter_table(), DOCUMENT.read_text()))
    IMAGES.mkdir(parents=True, exist_ok=True)
    for old in IMAGES.glob("*.png"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="ecg-gallery-") as place:
        stills = [_still(_job(Path(place), names), seconds) for seconds in MOMENTS]
        for index, name in enumerate(names):
            _cut(stills, index, IMAGES / f"{name}.png")


def _job(place: Path, names: list[str]) -> Path:
    job = place / "job.yaml"
    if job.exists():
        return job
    colour = f"color=c=0x28364f:size={WIDTH}x{HEIGHT}:rate=30:duration=4"
    _ffmpeg("-f", "lavfi", "-i", colour, "-c:v", "libx264", "-pix_fmt", "yuv420p", place / "clip.mp4")
    manifest = {
        "apiVersion": "render.ecg.dev/v1alpha1",
        "kind": "RenderJob",
        "metadata": {"name": "gallery"},
        "spec": {
            "source": {"uri": "clip.mp4"},
            "scenario": {"inline": _scenario(names)},
            "output": {"uri": "out.mp4"},
        },
    }
    job.write_text(json.dumps(manifest))
    return job


def _scenario(names: list[str]) -> dict[str, Any]:
    texts = [_text(index, name) for index, name in enumerate(names)]
    root = {"id": "all", "eType": "group", "displayTime": [0, 4], "children": texts}
    return {
        "version": "2.0",
        "pluginApiVersion": "3.0",
        "timebase": {"unit": "seconds"},
        "stage": {"baseAspect": "auto"},
        "tracks": [{"id": "captions", "type": "free", "layer": 1}],
        "cues": [{"id": "cue", "track": "captions", "domLifetime": [0, 4], "root": root}],
    }


def _text(index: int, name: str) -> dict[str, Any]:
    row, column = divmod(index, COLUMNS)
    return {
        "id": name,
        "eType": "text",
        "text": TEXT,
        "displayTime": [0, 4],
        "baseTime": [MOMENTS[0], MOMENTS[-1]],
        "layout": {"anchor": "cc", "position": {"x": (column + 0.5) / COLUMNS, "y": (row + 0.5) / ROWS}},
        "style": {"fontSizeRel": 0.0225, "fontFamily": "Arial, sans-serif", "fontWeight": "bold", "color": "#ffffff"},
        "pluginChain": [{"name": name, "params": PARAMS.get(name, {}), "timeOffset": [0, 0]}],
    }


def _still(job: Path, seconds: float) -> Path:
    picture = job.with_name(f"at-{seconds}.png")
    subprocess.run([PROGRAM, "still", job, "--at", str(seconds), "--output", picture], check=True, capture_output=True)
    return picture


def _cut(stills: list[Path], index: int, strip: Path) -> None:
    row, column = divmod(index, COLUMNS)
    left, top = (CELL[0] * column + (CELL[0] - SHOWN[0]) // 2, CELL[1] * row + (CELL[1] - SHOWN[1]) // 2)
    cells = [f"[{n}]crop={SHOWN[0]}:{SHOWN[1]}:{left}:{top},setsar=1[c{n}]" for n in range(len(stills))]
    joined = "".join(f"[c{n}]" for n in range(len(stills)))
    chain = ";".join([*cells, f"{joined}hstack={len(stills)},scale=iw/2:-1:flags=lanczos"])
    inputs = [part for picture in stills for part in ("-i", picture)]
    _ffmpeg(*inputs, "-filter_complex", chain, "-frames:v", "1", strip)


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments], check=True)


if __name__ == "__main__":
    main()
