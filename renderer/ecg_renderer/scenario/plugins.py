"""The plugins that nodes name: written in one way, known, and given what they read."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ecg_renderer.scenario.css import COLOUR_HINT, is_colour, is_invisible
from ecg_renderer.scenario.load import join
from ecg_renderer.scenario.model import Node, cues_of, nodes_of, number
from ecg_renderer.scenario.report import Report, did_you_mean, listed

UnknownPlugins = Literal["fail", "static"]
Schema = Mapping[str, Any]
"""What a plugin reads, by name of the parameter, as its manifest declares it; an empty one declares nothing."""

# What a name without a version means, as in the editor; each of our own plugins has this one, whatever is asked for.
DEFAULT_VERSION = "2.0.0"

_REPEATED = re.compile(r"#\d+$")
_SHARE = re.compile(r"\s*-?\d+(?:\.\d+)?%?\s*")
# What JavaScript reads as a number.
_DECIMAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"0x[0-9a-f]+|0o[0-7]+|0b[01]+", re.IGNORECASE)
# Of longer lists of strangers nobody reads a proposal, nor of more findings; looking for them takes its time.
MOST_COMPARED = 200
MOST_HINTS = 200


@dataclass(frozen=True)
class PluginRules:
    """Which plugins there are, and what to do with others: refuse, or show their text still.

    Attributes:
        known: our own, by bare name, with what they read.
        fetched: those of an origin, by name and version ("glow@2.0.0"); None if no origin was asked.
    """

    known: Mapping[str, Schema]
    unknown: UnknownPlugins
    fetched: Mapping[str, Schema] | None = None


@dataclass(frozen=True)
class _Reader:
    """A plugin that is there, as messages call it, and what it reads."""

    name: str
    schema: Schema
    own: bool

    @property
    def kind(self) -> str:
        return f"parameters of {self.name}"


def plugin_key(name: str) -> str:
    """Return name and version of the plugin that a node names, with or without a version and a number (#2)."""
    bare, _, version = _REPEATED.sub("", name).partition("@")
    return f"{bare}@{version or DEFAULT_VERSION}"


def plugin_keys(data: dict[str, Any]) -> frozenset[str]:
    """Return name and version of every plugin that nodes name, whether that can be one or not."""
    found = set()
    for _, cue in cues_of(data):
        for _, node in nodes_of(cue, ""):
            chain = node.get("pluginChain")
            for item in chain if isinstance(chain, list) else [chain]:
                name = item.get("name", item.get("pluginId")) if isinstance(item, dict) else item
                if isinstance(name, str) and name:
                    found.add(plugin_key(name))
    return frozenset(found)


def repair_plugins(data: dict[str, Any], rules: PluginRules, report: Report) -> frozenset[str]:
    """Rewrite all plugin chains in place, and return the names in use ("name#2" for a second one on a node).

    Errors: ScenarioError for a plugin without a name, or one that is not known (unless those are left out).
    """
    used: set[str] = set()
    for cue_path, cue in cues_of(data):
        for path, node in nodes_of(cue, cue_path):
            if "pluginChain" in node:
                node["pluginChain"] = _repair_chain(node, f"{path}.pluginChain", rules, report)
                used.update(plugin["name"] for plugin in node["pluginChain"])
                if node["pluginChain"] and node["eType"] == "group":
                    done = "is on a group, where MotionText gives a plugin an empty element: its texts stand still"
                    hint = "Give it to the texts in the group."
                    report.warn("plugin of a group", f"{path}.pluginChain", done, hint=hint)
    return frozenset(used)


def _repair_chain(node: Node, path: str, rules: PluginRules, report: Report) -> list[dict[str, Any]]:
    chain = node["pluginChain"]
    if isinstance(chain, dict | str):
        report.warn("single plugin", path, "is one plugin, not a list, and was made a list")
        chain = [chain]
    if not isinstance(chain, list):
        raise report.error(path, "must be a list of plugins")
    repaired: list[dict[str, Any]] = []
    times: Counter[str] = Counter()
    for index, item in enumerate(chain):
        plugin = None if item is None else _named(item, f"{path}[{index}]", report)
        reader = None if plugin is None else _reader_of(plugin, f"{path}[{index}]", rules, report)
        if plugin is not None and reader is not None:
            _check_given(plugin.get("params"), reader, f"{path}[{index}].params", report)
            name = plugin["name"]
            times[name] += 1
            # MotionText keeps one state for each name. A copy: what was a reference may be the same object elsewhere.
            repaired.append({**plugin, "name": name if times[name] == 1 else f"{name}#{times[name]}"})
    return repaired


def _named(item: object, path: str, report: Report) -> dict[str, Any]:
    """Return the plugin with its name, with or without a version, under `name`."""
    plugin = {"name": item} if isinstance(item, str) else item
    if not isinstance(plugin, dict):
        raise report.error(path, f"must be an object with a name, not {str(item)[:40]!r}")
    if "name" not in plugin and "pluginId" in plugin:
        plugin["name"] = plugin.pop("pluginId")
        report.warn("plugin id", path, f'pluginId "{plugin["name"]}" was read as name')
    name = plugin.get("name")
    if not isinstance(name, str) or not name:
        raise report.error(path, "names no plugin", 'Write {"name": "...", "params": {...}}.')
    if "time_offset" in plugin and not _is_offset(plugin["time_offset"]):
        report.warn("time_offset", f"{path}.time_offset", "is not an offset and was dropped (timeOffset counts)")
        del plugin["time_offset"]
    return plugin


def _is_offset(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(_is_bound(bound) for bound in value)


def _is_bound(bound: object) -> bool:
    return _SHARE.fullmatch(bound) is not None if isinstance(bound, str) else number(bound) is not None


def _reader_of(plugin: dict[str, Any], path: str, rules: PluginRules, report: Report) -> _Reader | None:
    """Leave the name by which the page knows the plugin, and return what it reads; None if it is not there.

    One of an origin keeps the name that was written, as in the editor; our own go by the bare name.
    """
    written = _REPEATED.sub("", plugin["name"])
    name, _, version = written.partition("@")
    default = f"{name}@{DEFAULT_VERSION}"
    fetched = rules.fetched or {}
    if (key := plugin_key(written)) in fetched:
        plugin["name"] = written
        return _Reader(key, _declared(fetched[key]), own=False)
    plugin["name"] = name
    if default in fetched or name in rules.known:
        if version not in ("", DEFAULT_VERSION):
            report.warn(f"version of {name}", path, f"asks for {name} {version}, the only version there was taken")
        if rules.fetched is not None and default not in fetched:
            done = f"asks for {name}, which the plugin origin does not have; the renderer's own was taken"
            report.warn(f"own {name}", path, done)
        if default in fetched:
            return _Reader(default, _declared(fetched[default]), own=False)
        return _Reader(name, rules.known[name], own=True)
    hint = _close(name, rules.known, report)
    if rules.unknown == "static":
        done = f'"{name}" is not there: the text is shown without it'
        report.warn(f"unknown plugin {name}", path, done, hint=hint or "Take one that is there, or leave it out.")
        return None
    way_out = 'With spec.options.unknownPlugins "static" the text is shown without it.'
    raise report.error(
        path, f'no plugin is called "{name}" (there: {listed(rules.known)})', f"{hint} {way_out}".strip()
    )


def _declared(schema: Schema) -> Schema:
    """Return the parameters of a schema of an origin, which may be one of JSON Schema."""
    inner = schema.get("properties")
    return inner if schema.get("type") == "object" and isinstance(inner, dict) else schema


def _close(name: str, known: Schema, report: Report) -> str:
    return did_you_mean(name, known) if len(known) <= MOST_COMPARED and report.count < MOST_HINTS else ""


# --- parameters: those that do not count, or not as they are written ------------------------------


def _check_given(params: object, reader: _Reader, path: str, report: Report) -> None:
    if params is not None and not isinstance(params, dict):
        done = f"is {_shown(params)}, not an object: {reader.name} has what it has by itself"
        report.warn(reader.kind, path, done, hint='Write an object, such as {"speaker": "Ann"}.')
    if not isinstance(params, dict):
        return
    _check_params(params, reader.schema, reader, path, report)
    palette, speaker = params.get("palette"), params.get("speaker")
    if not isinstance(palette, dict) or not palette or not isinstance(speaker, str) or not speaker:
        return
    if speaker in palette:
        _check_colour(palette[speaker], f"{path}.palette", {}, report)
    elif not is_colour(params.get("color")):
        done = f'speaker "{speaker}" has no colour in the palette: the word is never coloured'
        report.warn("speaker without colour", f"{path}.speaker", done, hint="Add the speaker to the palette.")


def _check_params(params: dict[str, Any], schema: Schema, reader: _Reader, path: str, report: Report) -> None:
    for name, value in params.items():
        place, rule = join(path, name), schema.get(name, {})
        if schema and name not in schema:
            report.warn(reader.kind, place, *_unknown(name, schema, reader, report))
        elif not isinstance(rule, dict):
            continue
        elif name == "color" or name.endswith("Color"):
            _check_colour(value, place, rule if reader.own else {}, report)
        elif wrong := complaint(rule, value, own=reader.own):
            report.warn(reader.kind, place, *_wrong(name, value, rule, wrong, reader))
        elif isinstance(value, dict) and isinstance(rule.get("properties"), dict):
            _check_params(value, rule["properties"], reader, place, report)


def _unknown(name: str, schema: Schema, reader: _Reader, report: Report) -> tuple[str, str]:
    """Return what is said of a parameter that the schema does not have, and what to do about it."""
    hint = _close(name, schema, report)
    if not hint and len(schema) <= MOST_COMPARED:
        hint = f"It knows {listed(schema)}."
    counts = "it does not count" if reader.own else "whether it counts is up to the plugin"
    return f"is unknown to {reader.name}: {counts}", hint


def _wrong(name: str, value: object, rule: Schema, wrong: str, reader: _Reader) -> tuple[str, str]:
    """Return what is said of a value that the plugin does not take as it is, and what to do about it."""
    used = value_used(rule, value) if reader.own else ""
    taken = "it does not count" if used == "" or isinstance(used, dict) else f"{str(used).lower()} is used"
    if not reader.own:
        taken = "what becomes of it is up to the plugin"
    described = rule.get("description") if reader.own else ""
    return f"is {_shown(value)}, {reader.name} {wrong}: {taken}", f"{name}: {described}." if described else ""


def complaint(rule: Schema, value: object, *, own: bool = True) -> str:
    """Return what is wrong with a parameter's value, as what follows on the plugin's name; nothing if it is right.

    As page/plugins/lib/params.mjs reads it. Patterns of strangers are not tried: some take for ever.
    """
    kind, choices = rule.get("type"), rule.get("enum")
    if kind in ("number", "integer"):
        return _out_of_range(rule, value)
    if kind == "boolean":
        return "" if isinstance(value, bool) else "reads true or false there"
    if kind in ("object", "palette"):
        return "" if isinstance(value, dict) else "reads an object there"
    if isinstance(choices, list) and 0 < len(choices) <= MOST_COMPARED:
        return "" if value in choices else f"knows {listed(map(str, choices))}"
    if kind == "string" and not isinstance(value, str):
        return "reads text there"
    matches = not own or "pattern" not in rule or re.fullmatch(rule["pattern"], str(value))
    return "" if matches else "does not know that"


def _out_of_range(rule: Schema, value: object) -> str:
    said, least, most = _as_number(value), _as_number(rule.get("min")), _as_number(rule.get("max"))
    if said is None:
        return "reads a number there"
    if (least is None or said >= least) and (most is None or said <= most):
        return ""
    bounds = [f"{bound:.12g}" for bound in (least, most) if bound is not None]
    return (
        f"knows {' to '.join(bounds)}"
        if len(bounds) == 2
        else f"knows {'up to' if least is None else 'from'} {bounds[0]}"
    )


def value_used(rule: Schema, value: object) -> Any:
    """Return what one of our own plugins takes for a parameter's value, as page/plugins/lib/params.mjs does."""
    if rule["type"] == "number" and (said := _as_number(value)) is not None:
        return min(rule["max"], max(rule["min"], said))
    if rule["type"] == "object":
        given = value if isinstance(value, dict) else {}
        return {name: value_used(inner, given.get(name)) for name, inner in rule["properties"].items()}
    return rule["default"] if complaint(rule, value) else value


def _as_number(value: object) -> int | float | None:
    """Return a number as JavaScript reads it; None for what is none, or is not finite."""
    if isinstance(value, str):
        text = value.strip()
        value = float(text) if _DECIMAL.fullmatch(text) else int(text, 0) if _INTEGER.fullmatch(text) else None
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer that is infinite as a float
        return None


def _check_colour(value: object, path: str, rule: Schema, report: Report) -> None:
    """Warn of a colour of an effect that is none; `rule` may have one that is used instead."""
    if value == "" or isinstance(value, bool):
        return
    used = f"{rule['default']} is used" if is_colour(rule.get("default")) else "the effect goes without"
    if not is_colour(value):
        done = f"{str(value)[:40]!r} is no colour: {used}"
        report.warn("colour of an effect", path, done, hint=COLOUR_HINT)
    elif is_invisible(str(value)):
        report.warn("colour of an effect", path, f"{value!r} is transparent: {used}", hint=COLOUR_HINT)


def _shown(value: object) -> str:
    text = value[:40] if isinstance(value, str) else value
    return json.dumps(text, ensure_ascii=False)[:40]
