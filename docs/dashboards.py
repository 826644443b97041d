"""Draws docs/images/dashboards: what the chart's Grafana dashboards show of a working day.

`make gallery` runs it. The day is made up: jobs come, wait for one of twelve GPUs, and are told. Its figures are put
into a real Prometheus, which answers every panel's query; what it answers is drawn here, in the places and by the names
that the dashboards' files give. Grafana has no part in it: colours, axes and letters are ours.
"""

from __future__ import annotations

import json
import math
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

from ecg_renderer.chromium import find_chromium

HERE = Path(__file__).parent
BOARDS = HERE.parent / "helm/ecg-render/files/dashboards"
IMAGES = HERE / "images" / "dashboards"
BESIDE = Path(sys.executable).parent

STEP, DAY, SHOWN = 60, 25 * 3600, 6 * 3600
GPUS, FRAMES, GPU_SECONDS, VIDEO_SECONDS = 12, 5400, 75.0, 180.0
PRICE = "0.978"
UNIT, ROW, GAP, MARGIN = 64, 30, 8, 16
COLOURS = ("#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#b877d9", "#5794f2", "#ffb357", "#96d98d")
Answer = list[dict[str, Any]]


# --- a day ----------------------------------------------------------------------------------------


class Day:
    """Counters and gauges by name and labels; `text` is what Prometheus' own tool reads, moment by moment."""

    def __init__(self, end: int) -> None:
        self.end = end
        self._now = end - DAY
        self._values: dict[tuple[str, str], float] = defaultdict(float)
        self._samples: dict[str, list[str]] = defaultdict(list)

    def add(self, name: str, by: float, **labels: str) -> None:
        """Let a counter grow."""
        self._values[name, _written(labels)] += by

    def put(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[name, _written(labels)] = value

    def observe(self, name: str, seconds: Iterable[float], **labels: str) -> None:
        """Count times in a histogram."""
        for one in seconds:
            for edge in (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30):
                self.add(f"{name}_bucket", one <= edge, **labels, le=str(edge))
            self.add(f"{name}_bucket", 1, **labels, le="+Inf")
            self.add(f"{name}_count", 1, **labels)
            self.add(f"{name}_sum", one, **labels)

    def minutes(self) -> Iterator[float]:
        """Yield the share of the day that is over, once a minute; what was counted meanwhile is noted."""
        while self._now < self.end:
            yield 1 - (self.end - self._now) / DAY
            for (name, labels), value in self._values.items():
                self._samples[name].append(f"{name}{{{labels}}} {value:g} {self._now}")
            self._now += STEP

    def text(self) -> str:
        """Return all samples."""
        parts = [f"# TYPE {name} unknown\n" + "\n".join(lines) for name, lines in sorted(self._samples.items())]
        return "\n".join([*parts, "# EOF\n"])


def _written(labels: dict[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in {"namespace": "render", "pod": "p-0", **labels}.items())


def simulate(day: Day) -> None:
    """Let jobs come, wait, be rendered and told; twice as many as usual in the afternoon, and a node that is lost."""
    chance = random.Random(4)  # noqa: S311
    waiting, busy, places, quiet, succeeded = 0.0, 0.0, 4.0, 0, 0.0
    for share in day.minutes():
        come = _poisson(chance, 5.5 + 2.5 * math.sin(share * 12) + (6 if 0.87 < share < 0.93 else 0))
        busy = min(waiting + come, places)
        done = min(waiting + come, busy * 60 / GPU_SECONDS)
        waiting = max(0.0, waiting + come - done)
        succeeded = succeeded * 0.997 + done
        quiet = quiet + 1 if waiting < 3 else 0
        places = min(GPUS, places + 2) if waiting > 10 else max(4.0, places - 2) if quiet > 10 else places
        lost = 0.35 if 0.955 < share < 0.96 else 0.0
        _jobs(day, chance, waiting, busy, done, succeeded)
        _gpus(day, chance, busy, done, lost)
        _capacity(day, waiting, busy, places)
        _service(day, chance, come, waiting, busy, done)


def _poisson(chance: random.Random, mean: float) -> int:
    found, left = 0, math.exp(-mean)
    product = chance.random()
    while product > left:
        found, product = found + 1, product * chance.random()
    return found


def _jobs(day: Day, chance: random.Random, waiting: float, busy: float, done: float, succeeded: float) -> None:
    phases = {"Pending": waiting, "Planning": busy * 0.1, "Rendering": busy * 0.8, "Merging": busy * 0.1}
    for phase, count in {**phases, "Succeeded": succeeded, "Failed": 3.0}.items():
        day.put("ecg_jobs", round(count), phase=phase)
    day.put("ecg_leader", 1)
    day.put("ecg_leader", 0, pod="p-1")
    day.put("ecg_build_info", 1, version="0.1.0")
    day.put("ecg_queue_oldest_seconds", chance.random() * 0.4)
    for pod in ("p-0", "p-1"):
        day.put("ecg_queue_depth", max(0, round(chance.gauss(done / 4, 1))) if pod == "p-0" else 0, pod=pod)
        day.put("ecg_event_loop_lag_seconds", 0.002 + abs(chance.gauss(0, 0.01)), pod=pod)
    for resource in ("jobs", "pods", "renderjobs"):
        day.put("ecg_watch_silence_seconds", 1 + chance.random() * 4, resource=resource)
    day.add("ecg_frames_rendered_total", done * FRAMES)
    day.add("ecg_frames_dropped_total", done * FRAMES * max(0.0, chance.gauss(0.002, 0.002)))
    day.observe("ecg_create_to_first_job_seconds", (chance.uniform(0.1, 1.4) for _ in range(round(done))))
    day.observe("ecg_reconcile_seconds", (chance.expovariate(60) for _ in range(round(12 * done) + 4)))
    day.add("ecg_reconcile_errors_total", round(done) * 0.05, error="Conflict")
    day.add("ecg_events_dropped_total", 0)
    calls = {("create", "jobs", "201"): 3.0, ("patch", "renderjobs", "200"): 8.0, ("create", "events", "201"): 4.0}
    for (verb, resource, status), each in calls.items():
        day.add("ecg_api_calls_total", each * done, verb=verb, resource=resource, status=status)


def _gpus(day: Day, chance: random.Random, busy: float, done: float, lost: float) -> None:
    day.add("ecg_gpu_seconds_total", busy * 60)
    day.add("ecg_wasted_gpu_seconds_total", busy * 60 * lost)
    day.add("ecg_cost_total", busy * 60 / 3600 * float(PRICE), currency="USD")
    day.add("ecg_wasted_cost_total", busy * 60 * lost / 3600 * float(PRICE), currency="USD")
    day.add("ecg_video_seconds_total", done * VIDEO_SECONDS)
    for number in range(4):
        load = min(1.0, max(0.0, (busy - 3 * number) / 3))
        node = f"ip-10-0-{number + 1}-17"
        at = {"exported_container": "renderer", "gpu": "0", "Hostname": node}
        used = 3200 * load + 300 + chance.gauss(0, 60)
        day.put("DCGM_FI_DEV_ENC_UTIL", max(0.0, 38 * load + chance.gauss(0, 3)), **at)
        day.put("DCGM_FI_DEV_DEC_UTIL", max(0.0, 17 * load + chance.gauss(0, 2)), **at)
        day.put("DCGM_FI_DEV_FB_USED", used, **at)
        day.put("DCGM_FI_DEV_FB_FREE", 23028 - used, **at)
        of_pod = {"container": "renderer", "node": node, "exported_pod": f"job-{number}"}
        day.add("container_cpu_usage_seconds_total", 60 * max(0.1, 5.2 * load + chance.gauss(0, 0.3)), **of_pod)
        day.put("container_memory_working_set_bytes", 0.6e9 + 2.1e9 * load + chance.gauss(0, 0.1e9), **of_pod)
        day.put("container_spec_memory_limit_bytes", 6.4e9, **of_pod)
        day.put("machine_cpu_cores", 8, node=node)


def _capacity(day: Day, waiting: float, busy: float, places: float) -> None:
    kinds = {"floor": 4, "ceiling": GPUS, "allowed": places, "busy": round(busy), "warm": max(0.0, places - busy)}
    for kind, value in {**kinds, "warm_ready": max(0.0, places - busy - 1)}.items():
        day.put("ecg_capacity_places", round(value), kind=kind)
    day.put("ecg_capacity_waiting_segments", round(waiting))


def _service(day: Day, chance: random.Random, come: int, waiting: float, busy: float, done: float) -> None:
    day.put("ecg_render_healthy", 1)
    day.put("ecg_render_queue_depth", round(waiting))
    day.put("ecg_render_active_jobs", round(busy))
    day.put("ecg_render_estimated_wait_seconds", waiting / max(1.0, busy) * GPU_SECONDS)
    day.put("ecg_render_frame_drop_rate", 0.002)
    day.put("ecg_render_requests_in_progress", chance.randrange(3))
    day.add("ecg_render_submissions_total", come, outcome="accepted")
    day.add("ecg_render_submissions_total", chance.random() < 0.03, outcome="rejected")
    for route, method, count, slow in (
        ("/render", "POST", come, 0.02),
        ("/api/render/{job_id}/status", "GET", round(busy * 12 + waiting * 6), 0.004),
        ("/health", "GET", 12, 0.003),
    ):
        times = (chance.expovariate(1 / slow) for _ in range(count))
        day.observe("ecg_render_request_duration_seconds", times, method=method, route=route, status="200")
    for kind, count in (("progress", round(done * 4)), ("completed", round(done))):
        day.add("ecg_callback_tries_total", count, kind=kind, verdict="delivered")
        day.add("ecg_callback_tries_total", chance.random() < 0.1, kind=kind, verdict="again")
        day.observe("ecg_callback_duration_seconds", (chance.expovariate(12) for _ in range(count)))
    for name in ("ecg_callback_given_up_total", "ecg_callback_rejected_total"):
        day.add(name, 0)
    day.put("ecg_callback_dead_letters", 0)
    day.put("ecg_callback_open_jobs", round(busy + waiting))


# --- Prometheus -----------------------------------------------------------------------------------


@contextmanager
def prometheus(day: Day, folder: Path) -> Iterator[str]:
    """Run a Prometheus that knows the day; yield its address."""
    (folder / "day.txt").write_text(day.text())
    made = ["tsdb", "create-blocks-from", "openmetrics", "-q", str(folder / "day.txt"), str(folder / "data")]
    subprocess.run([str(BESIDE / "promtool"), *made], check=True)
    (folder / "none.yml").write_text("{}")
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{line.getsockname()[1]}"
    flags = [
        f"--config.file={folder}/none.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={address}",
    ]
    server = subprocess.Popen([BESIDE / "prometheus", *flags], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/-/ready", timeout=1).close()
                break
            except OSError:
                time.sleep(0.2)
        yield f"http://{address}"
    finally:
        server.kill()
        server.wait()


def asked(address: str, query: str, end: int) -> Answer:
    """Return what Prometheus answers for the last six hours, a point for every two minutes."""
    query = query.replace("$namespace", ".*").replace("$price", PRICE)
    wanted = {"query": query, "start": end - SHOWN, "end": end - STEP, "step": 2 * STEP}
    request = f"{address}/api/v1/query_range?{urllib.parse.urlencode(wanted)}"
    with urllib.request.urlopen(request) as answer:  # noqa: S310 (our own Prometheus)
        found: Answer = json.load(answer)["data"]["result"]
    return found


# --- drawing --------------------------------------------------------------------------------------


def drawn(board: dict[str, Any], address: str, end: int) -> tuple[str, int, int]:
    """Return a dashboard as SVG, and its size."""
    parts, below = [], 0.0
    for panel in board["panels"]:
        at = panel["gridPos"]
        x, y = MARGIN + at["x"] * UNIT, MARGIN + 34 + at["y"] * ROW
        width, height = at["w"] * UNIT - GAP, at["h"] * ROW - GAP
        below = max(below, y + height)
        if panel["type"] == "row":
            parts.append(_text(x, y + 16, panel["title"], 14, "#8e8e8e"))
            continue
        parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="#181b1f"/>')
        parts.append(_text(x + 10, y + 20, panel["title"], 13, "#ccccdc"))
        lines = [
            (_legend(target.get("legendFormat", ""), one["metric"]), _points(one))
            for target in panel["targets"]
            for one in asked(address, target["expr"], end)
        ]
        if not lines:
            sys.exit(f"dashboards: {board['title']}: {panel['title']} shows nothing.")
        draw = _stat if panel["type"] == "stat" else _graph
        parts.append(draw(panel["fieldConfig"]["defaults"], lines, (x, y, width, height), end))
    size = 24 * UNIT + 2 * MARGIN - GAP, round(below) + MARGIN
    body = "".join([_text(MARGIN, MARGIN + 16, board["title"], 17, "#ccccdc"), *parts])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}" font-family="sans-serif">'
    return f'{head}<rect width="100%" height="100%" fill="#111217"/>{body}</svg>', *size


def _points(one: dict[str, Any]) -> list[tuple[float, float]]:
    return [(float(moment), float(value)) for moment, value in one["values"] if value not in ("NaN", "+Inf", "-Inf")]


def _legend(pattern: str, labels: dict[str, str]) -> str:
    for name, value in labels.items():
        pattern = pattern.replace("{{" + name + "}}", value)
    return pattern


def _text(x: float, y: float, words: str, size: int, colour: str, anchor: str = "start") -> str:
    where = f'x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {where}>{escape(words)}</text>"


def _said(value: float, defaults: dict[str, Any]) -> str:
    unit, decimals = defaults.get("unit", "short"), defaults.get("decimals")
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "percent":
        return f"{value:.0f} %"
    if unit == "s":
        return f"{value:.2f} s" if value >= 1 or not value else f"{1000 * value:.0f} ms"
    figure = f"{value:.{decimals}f}" if decimals is not None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
    return f"${figure}" if unit == "currencyUSD" else figure


def _stat(defaults: dict[str, Any], lines: list[Any], place: tuple[float, float, float, float], _: int) -> str:
    x, y, width, height = place
    name, points = lines[0]
    value = points[-1][1]
    steps = defaults.get("thresholds", {}).get("steps", [{"color": "green", "value": None}])
    colour = [step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]
    words = name if defaults.get("unit") == "short" and "0." in name else _said(value, defaults)
    shown = {"green": COLOURS[0], "red": COLOURS[4]}.get(colour, colour)
    return _text(x + width / 2, y + height / 2 + 24, words, 34, shown, "middle")


def _graph(defaults: dict[str, Any], lines: list[Any], place: tuple[float, float, float, float], end: int) -> str:
    x, y, width, height = place[0] + 62, place[1] + 34, place[2] - 76, place[3] - 82
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    shown = _stacked(lines) if stacked else lines
    top = defaults.get("max") or max((value for _, points in shown for _, value in points), default=0) * 1.1 or 1.0

    def on_screen(moment: float, value: float) -> str:
        return f"{x + width * (1 - (end - moment) / SHOWN):.1f},{y + height * (1 - min(value, top) / top):.1f}"

    parts = []
    for share in (0, 0.5, 1):
        level = y + height * (1 - share)
        parts.append(f'<path d="M{x} {level}h{width}" stroke="#2c2f36"/>')
        parts.append(_text(x - 6, level + 4, _said(top * share, defaults), 11, "#8e8e8e", "end"))
    for hours in range(0, 7, 2):
        clock = time.strftime("%H:%M", time.gmtime(end - SHOWN + hours * 3600))
        parts.append(_text(x + width * hours / 6, y + height + 16, clock, 11, "#8e8e8e", "middle"))
    for number, (_, points) in reversed(list(enumerate(shown))):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(on_screen(*point) for point in points)
        if stacked and points:
            corners = f"{on_screen(points[0][0], 0)} {path} {on_screen(points[-1][0], 0)}"
            parts.append(f'<polygon points="{corners}" fill="{colour}" fill-opacity="0.45"/>')
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
    return "".join(parts) + _legends(lines, place)


def _stacked(lines: list[Any]) -> list[Any]:
    sums: dict[float, float] = defaultdict(float)
    shown = []
    for name, points in lines:
        for moment, value in points:
            sums[moment] += value
        shown.append((name, [(moment, sums[moment]) for moment, _ in points]))
    return shown


def _legends(lines: list[Any], place: tuple[float, float, float, float]) -> str:
    x, y, width, height = place
    parts, left = [], x + 12
    for number, (name, _) in enumerate(lines):
        if left + 18 + 6.4 * len(name) > x + width:
            parts.append(_text(left, y + height - 12, "…", 12, "#8e8e8e"))
            break
        parts.append(f'<rect x="{left}" y="{y + height - 19}" width="10" height="4" fill="{COLOURS[number % 9]}"/>')
        parts.append(_text(left + 15, y + height - 13, name, 11, "#ccccdc"))
        left += 27 + 6.4 * len(name)
    return "".join(parts)


def main() -> None:
    """Write one picture for each dashboard."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    # Six in the evening of a day gone by, so that the same pictures are drawn each time.
    day = Day(1_790_000_000 // 86400 * 86400 + 18 * 3600)
    simulate(day)
    with tempfile.TemporaryDirectory(prefix="ecg-dashboards-") as place, prometheus(day, Path(place)) as address:
        for file in sorted(BOARDS.glob("*.json")):
            svg, width, height = drawn(json.loads(file.read_text()), address, day.end)
            page = Path(place) / f"{file.stem}.html"
            page.write_text(f"<style>body{{margin:0}}</style>{svg}")
            _photographed(page, width, height, IMAGES / f"{file.stem}.png")


def _photographed(page: Path, width: int, height: int, picture: Path) -> None:
    raw, program = page.with_suffix(".png"), find_chromium() or sys.exit("dashboards: there is no Chromium.")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    flags += [f"--user-data-dir={page.parent}/profile", f"--screenshot={raw}", page.as_uri()]
    subprocess.run([str(program), *flags], check=True, capture_output=True)
    few = "split[a][b];[a]palettegen=max_colors=64:reserve_transparent=0[p];[b][p]paletteuse=dither=none"
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", "-i", str(raw), "-vf", few, str(picture)], check=True)


if __name__ == "__main__":
    main()
