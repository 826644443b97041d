"""The panels of the chart's dashboards and what they ask Prometheus."""

from __future__ import annotations

import json

from chart import CHART

BOARDS = {file.name: json.loads(file.read_text()) for file in sorted((CHART / "files/dashboards").glob("*.json"))}
QUERIES = [
    (f"{board['title']}: {panel['title']}", target["expr"].replace("$namespace", ".*").replace("$price", "0.978"))
    for board in BOARDS.values()
    for panel in board["panels"]
    for target in panel.get("targets", [])
]
"""Name of the panel, and one of its queries, with what a person would choose on top of the dashboard."""

OF_A_GPU = "NVIDIA's DCGM exporter has it, and runs only where there is a GPU"
OF_A_NODE = "a kubelet measures it, and none is in the test: its pods only pretend"
FED = {
    "ECG Render / GPUs and cost: NVENC": OF_A_GPU,
    "ECG Render / GPUs and cost: NVDEC": OF_A_GPU,
    "ECG Render / GPUs and cost: GPU memory": OF_A_GPU,
    "ECG Render / GPUs and cost: CPUs of nodes that render": OF_A_NODE,
    "ECG Render / GPUs and cost: Memory of renders": OF_A_NODE,
}
"""Panels to which a run without GPUs and nodes gives nothing, and why: their metrics are made up."""
