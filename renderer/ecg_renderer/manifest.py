"""Read a RenderJob manifest: bytes -> YAML within limits -> changed by `--set` -> a checked RenderJob.

A manifest comes from strangers too: a few lines of YAML can name one list a billion times, or nest so deep that a
parser in C overflows its stack. Its events are therefore looked at, one by one, before anything is built from them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from ecg_api.renderjob import ManifestProblems, RenderJob, parse_render_job, set_path, settled
from ecg_common.profiles import profiles
from ecg_renderer.errors import ManifestError, OptionsError, RenderError

STDIN = "-"
LARGEST_BYTES = 8 * 1024 * 1024
MOST_VALUES = 1_000_000
DEEPEST = 128
_PROBLEMS_SHOWN = 10

# JSON writes characters such as emoji as two escapes, which YAML does not know. Before them: escaped backslashes.
_JSON_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)

# The parser in C is ten times faster, and not in every build of PyYAML.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Manifest:
    """A RenderJob, and the folder that relative paths in it start from."""

    job: RenderJob
    base: Path


def read_manifest(
    path: str,
    assignments: Iterable[str] = (),
    values: Mapping[tuple[str, ...], str] | None = None,
    renditions: Iterable[Mapping[str, Any]] = (),
) -> Manifest:
    """Read the manifest at `path`, or from standard input for "-".

    `assignments` look like `spec.options.quality=80`; `values` are set after them, by their path, as they are;
    `renditions` are put before those of the manifest, so that messages about one can tell whose it is.
    Raises ManifestError, which names the place in the file, or OptionsError if only options are out of range.
    """
    name = "standard input" if path == STDIN else path
    data = parse_yaml(_read(path, name), name)
    try:
        data = _assigned(data, assignments)
        for keys, value in (values or {}).items():
            _put(data, keys, value)
        _put_first(data, ("spec", "renditions"), [dict(rendition) for rendition in renditions])
        job = settled(parse_render_job(data), profiles)
    except ManifestProblems as problems:
        raise _refusal(problems.problems, name) from problems
    return Manifest(job, Path.cwd() if path == STDIN else Path(path).absolute().parent)


def checked_job(data: object, name: str) -> RenderJob:
    """Return the RenderJob that `data`, as read from JSON or YAML, describes; `name` is how messages call it.

    Raises ManifestError, or OptionsError if only options are out of range.
    """
    return assigned_job(data, (), name)


def assigned_job(data: object, assignments: Iterable[str], name: str) -> RenderJob:
    """Return the RenderJob that `data` describes once `assignments` have changed it, see `read_manifest`."""
    try:
        data = _assigned(data, assignments)
        return settled(parse_render_job(data), profiles)
    except ManifestProblems as problems:
        raise _refusal(problems.problems, name) from problems


def _assigned(data: object, assignments: Iterable[str]) -> object:
    """Return `data` changed by `assignments`; their problems begin with `--set`, as they are not of the manifest."""
    for assignment in assignments:
        manifest = _mapping(data)
        try:
            data = set_path(manifest, assignment)
        except ManifestProblems as problems:
            raise ManifestProblems([f"--set {problem}" for problem in problems.problems]) from None
    return data


def parse_yaml(raw: bytes, name: str) -> object:
    """Return the one value that the YAML text `raw` holds; `name` is how messages call it.

    Raises ManifestError with line and column for what is no YAML, has a key twice, or is beyond the limits.
    """
    if not raw.strip():
        raise ManifestError(f"{name} is empty.", hint="See examples/renderjob.yaml for a manifest that works.")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{name} is not UTF-8 text (byte {error.start}).", hint="Name the RenderJob manifest, not the video."
        ) from None
    if text.lstrip().startswith("{"):
        text = _JSON_PAIR.sub(_character, text)
    try:
        _check_limits(text, name)
        return _construct(text, name)
    except yaml.YAMLError as error:
        raise ManifestError(f"{name} {_said(error)}.", hint=_hint(error, text)) from error
    except ValueError as error:  # a date such as 2026-13-45, a number of ten thousand digits
        raise ManifestError(f"{name} holds a value that cannot be read: {error}.", hint="Put it in quotes.") from error


def _character(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return match[1] + chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)


def _read(path: str, name: str) -> bytes:
    try:
        if path == STDIN:
            return _limited(sys.stdin.buffer, name)
        if Path(path).is_dir():
            raise ManifestError(f"{name} is a directory, not a RenderJob manifest.", hint="Name the YAML file in it.")
        with Path(path).open("rb") as file:
            return _limited(file, name)
    except FileNotFoundError:
        raise ManifestError(f"There is no file {name}.", hint="Check the path of the RenderJob manifest.") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ManifestError(f"{name} cannot be read: {reason}.") from error


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(LARGEST_BYTES + 1)
    if len(raw) > LARGEST_BYTES:
        raise ManifestError(
            f"{name} is larger than {LARGEST_BYTES // 1024**2} MB.",
            hint="Put the scenario into a file of its own and name it in spec.scenario.uri.",
        )
    return raw


@dataclass
class _Size:
    """How many values a text stands for once its aliases are replaced by what they name."""

    name: str
    open: list[tuple[str | None, int]] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    total: int = 0

    def add(self, event: Any) -> None:
        if isinstance(event, yaml.CollectionStartEvent):
            self.open.append((event.anchor, self.total))
            self.total += 1
            if len(self.open) > DEEPEST:
                raise self._beyond(event, f"nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = self.open.pop()
            if anchor:
                self.anchors[anchor] = self.total - before
        elif isinstance(event, yaml.ScalarEvent):
            self.total += 1
            if event.anchor:
                self.anchors[event.anchor] = 1
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in self.open):
                raise self._beyond(event, f"*{event.anchor} contains itself")
            self.total += self.anchors.get(str(event.anchor), 0)
        if self.total > MOST_VALUES:
            raise self._beyond(event, f"more than {MOST_VALUES:,} values")

    def _beyond(self, event: Any, what: str) -> ManifestError:
        return ManifestError(f"{self.name}: {what}, at {_place(event.start_mark)}.", hint="Write it out, with less.")


def _check_limits(text: str, name: str) -> None:
    size = _Size(name)
    for event in yaml.parse(text, Loader=_Loader):
        size.add(event)


def _construct(text: str, name: str) -> object:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise ManifestError(f"{name} holds nothing but comments.")
        _check_keys(node, name)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_keys(root: Any, name: str) -> None:
    """Refuse a mapping with the same key twice: YAML would silently keep the last."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            _check_mapping(node, name)
            waiting.extend(value for _, value in node.value)


def _check_mapping(node: yaml.MappingNode, name: str) -> None:
    first: dict[str, yaml.Mark] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            continue
        if key.value in first:
            raise ManifestError(
                f"{name}: {key.value!r} is given twice, at {_place(first[key.value])} and {_place(key.start_mark)}.",
                hint="Keep one of them.",
            )
        first[key.value] = key.start_mark


def _said(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"is not valid YAML: {str(error).splitlines()[0]}"
    if _is_second_document(error):
        return f"holds more than one document, the second at {_place(error.problem_mark)}"
    context = f" {error.context}" if error.context else ""
    return f"is not valid YAML: {error.problem}{context}, at {_place(error.problem_mark)}"


def _hint(error: yaml.YAMLError, text: str) -> str:
    if _is_second_document(error):
        return "Put each RenderJob into a file of its own."
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    line = text.splitlines()[mark.line] if mark and mark.line < len(text.splitlines()) else ""
    if line[: len(line) - len(line.lstrip())].count("\t"):
        return "Indent with spaces; YAML allows no tabs there."
    return "Check indentation, quotes and colons around that place."


def _is_second_document(error: yaml.YAMLError) -> bool:
    return isinstance(error, yaml.MarkedYAMLError) and "expected a single document" in (error.context or "")


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "its end"


def _mapping(data: object) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    raise ManifestProblems(["manifest: must be a mapping with apiVersion, kind, metadata and spec"])


def _put_first(data: object, keys: tuple[str, ...], values: list[dict[str, Any]]) -> None:
    if not values:
        return
    parent = _parent(data, keys)
    there = parent.get(keys[-1]) or []
    if not isinstance(there, list):
        raise ManifestProblems([f"{'.'.join(keys)}: must be a list"])
    parent[keys[-1]] = [*values, *there]


def _put(data: object, keys: tuple[str, ...], value: str) -> None:
    _parent(data, keys)[keys[-1]] = value


def _parent(data: object, keys: tuple[str, ...]) -> dict[str, Any]:
    parent = _mapping(data)
    for depth, key in enumerate(keys[:-1]):
        if parent.get(key) is None:
            parent[key] = {}
        if not isinstance(parent[key], dict):
            raise ManifestProblems([f"{'.'.join(keys[: depth + 1])}: must be a mapping"])
        parent = parent[key]
    return parent


def _refusal(problems: list[str], name: str) -> RenderError:
    only_options = all(problem.removeprefix("--set ").startswith("spec.options.") for problem in problems)
    kind = OptionsError if only_options else ManifestError
    hint = "`ecg-render plan` checks a manifest without rendering."
    if len(problems) == 1:
        return kind(f"{name}: {problems[0]}{'' if problems[0].endswith('?') else '.'}", hint=hint)
    shown = "; ".join(problems[:_PROBLEMS_SHOWN])
    more = f"; and {len(problems) - _PROBLEMS_SHOWN} more" if len(problems) > _PROBLEMS_SHOWN else ""
    return kind(f"{name} has {len(problems)} problems: {shown}{more}.", hint=hint)
