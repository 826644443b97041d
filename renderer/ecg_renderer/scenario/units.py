"""The time base: MotionText counts in seconds, some clients in milliseconds."""

from __future__ import annotations

from typing import Any

from ecg_renderer.scenario.report import Report
from ecg_renderer.scenario.tree import cues_of, number

PER_SECOND = {"seconds": 1, "second": 1, "sec": 1, "s": 1, "milliseconds": 1000, "ms": 1000}

_CUE_TIMES = ("domLifetime", "displayTime", "hintTime", "start", "end", "startTime", "endTime")
_NODE_TIMES = ("displayTime", "baseTime", "absStart", "absEnd")
_PLUGIN_TIMES = ("baseTime", "timeOffset", "relStart", "relEnd")
_PARAM_TIMES = ("t0", "t1")


def to_seconds(data: dict[str, Any], report: Report) -> None:
    """Convert all times of cues, nodes and plugins to seconds, in place, and say so in `timebase`.

    Errors: ScenarioError for a unit that is not known.
    """
    said = data.get("timebase", {})
    timebase: dict[str, Any] = said if isinstance(said, dict) else {"unit": said}
    unit = timebase.get("unit", "seconds")
    if not isinstance(unit, str) or unit not in PER_SECOND:
        raise report.error("timebase.unit", f'"{unit}" is not a unit of time', 'Write "seconds" or "ms".')
    fps = timebase.get("fps")
    if fps is not None and not (isinstance(fps, int | float) and fps > 0):
        report.warn("time base", "timebase.fps", f"{fps} is not a frame rate and was dropped")
        del timebase["fps"]
    data["timebase"] = {**timebase, "unit": "seconds"}
    if PER_SECOND[unit] == 1:
        return
    report.warn("time base", "timebase.unit", f"times in {unit} were converted to seconds")
    for _, cue in cues_of(data):
        _divide(cue, _CUE_TIMES, PER_SECOND[unit])
        if "root" in cue:
            _divide_node(cue["root"], PER_SECOND[unit])


def _divide_node(node: dict[str, Any], per_second: int) -> None:
    _divide(node, _NODE_TIMES, per_second)
    chain = node.get("pluginChain")
    for plugin in chain if isinstance(chain, list) else ():
        if isinstance(plugin, dict):
            _divide(plugin, _PLUGIN_TIMES, per_second)
            if isinstance(plugin.get("params"), dict):
                _divide(plugin["params"], _PARAM_TIMES, per_second)
    for child in node.get("children", ()):
        if child is not None:
            _divide_node(child, per_second)


def _divide(fields: dict[str, Any], names: tuple[str, ...], per_second: int) -> None:
    for name in names:
        if name in fields:
            fields[name] = _divided(fields[name], per_second)


def _divided(value: Any, per_second: int) -> Any:
    if isinstance(value, list):
        return [_divided(item, per_second) for item in value]
    if isinstance(value, dict):
        return {key: _divided(item, per_second) for key, item in value.items()}
    plain = number(value)
    return value if plain is None else plain / per_second
