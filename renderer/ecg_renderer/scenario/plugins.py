"""The plugins that nodes name: written in one way, and known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from ecg_renderer.scenario.report import Report, did_you_mean, listed
from ecg_renderer.scenario.tree import Node, cues_of, nodes_of, number

UnknownPlugins = Literal["fail", "static"]

# What a name without a version means, as in the editor; each of our own plugins has this one, whatever is asked for.
DEFAULT_VERSION = "2.0.0"

_REPEATED = re.compile(r"#\d+$")
_SHARE = re.compile(r"\s*-?\d+(?:\.\d+)?%?\s*")


@dataclass(frozen=True)
class PluginRules:
    """Which plugins there are, and what to do with others: refuse, or show their text still.

    Attributes:
        known: bare names of our own.
        fetched: those of an origin, by name and version ("glow@2.0.0"); None if no origin was asked.
    """

    known: Collection[str]
    unknown: UnknownPlugins
    fetched: Collection[str] | None = None


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
        if plugin is not None and _is_known(plugin, f"{path}[{index}]", rules, report):
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


def _is_known(plugin: dict[str, Any], path: str, rules: PluginRules, report: Report) -> bool:
    """Leave the name by which the page knows the plugin, and tell whether it is there.

    One of an origin keeps the name that was written, as in the editor; our own go by the bare name.
    """
    written = _REPEATED.sub("", plugin["name"])
    name, _, version = written.partition("@")
    default = f"{name}@{DEFAULT_VERSION}"
    fetched = rules.fetched or ()
    if plugin_key(written) in fetched:
        plugin["name"] = written
        return True
    plugin["name"] = name
    if default in fetched or name in rules.known:
        if version not in ("", DEFAULT_VERSION):
            report.warn(f"version of {name}", path, f"asks for {name} {version}, the only version there was taken")
        if rules.fetched is not None and default not in fetched:
            done = f"asks for {name}, which the plugin origin does not have; the renderer's own was taken"
            report.warn(f"own {name}", path, done)
        return True
    hint = did_you_mean(name, rules.known)
    if rules.unknown == "static":
        done = f'"{name}" is not there: the text is shown without it'
        report.warn(f"unknown plugin {name}", path, done, hint=hint or "Take one that is there, or leave it out.")
        return False
    way_out = 'With spec.options.unknownPlugins "static" the text is shown without it.'
    raise report.error(
        path, f'no plugin is called "{name}" (there: {listed(rules.known)})', f"{hint} {way_out}".strip()
    )
