"""`--set path=value`: change single values of a manifest before it is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import yaml

from ecg_api.problems import ManifestProblems

# Dots inside a key are written `\.`: spec.placement.nodeSelector.karpenter\.sh/capacity-type=spot
_DOT = re.compile(r"(?<!\\)\.")


def set_path(data: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    r"""Return a copy of the raw manifest `data` with one value set, as `spec.options.quality=80` says.

    The value is read as YAML, so numbers, true, null, lists and mappings work. Missing mappings on the way
    are made, list entries are named by number, dots in a key are written `\.`. Whether the manifest allows
    the value is checked later, by `parse_render_job`. Raises ManifestProblems.
    """
    path, equals, written = assignment.partition("=")
    keys = [key.replace("\\.", ".") for key in _DOT.split(path.strip())]
    if not equals or not all(keys):
        raise ManifestProblems([f"{assignment!r}: must look like spec.options.quality=80"])
    changed = deepcopy(dict(data))
    parent: object = changed
    for depth, key in enumerate(keys[:-1]):
        parent = _entry(parent, key, keys[:depth])
    _put(parent, keys[-1], _value(path, written), keys[:-1])
    return changed


def _value(path: str, written: str) -> object:
    try:
        return yaml.safe_load(written)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "cannot be read"
        raise ManifestProblems([f"{path}: {written!r} is not a YAML value: {problem}"]) from error


def _entry(parent: object, key: str, above: list[str]) -> object:
    if isinstance(parent, list):
        return parent[_index(parent, key, above)]
    mapping = _mapping(parent, above)
    if mapping.get(key) is None:
        mapping[key] = {}
    return mapping[key]


def _put(parent: object, key: str, value: object, above: list[str]) -> None:
    if isinstance(parent, list):
        parent[_index(parent, key, above)] = value
    else:
        _mapping(parent, above)[key] = value


def _mapping(parent: object, above: list[str]) -> dict[str, Any]:
    if isinstance(parent, dict):
        return parent
    raise ManifestProblems([f"{'.'.join(above)}: is {parent!r}, so nothing can be set inside it"])


def _index(entries: list[object], key: str, above: list[str]) -> int:
    if key.isdecimal() and int(key) < len(entries):
        return int(key)
    place = ".".join(above)
    raise ManifestProblems([f"{place}: is a list with {len(entries)} entries; {key!r} is none of them"])
