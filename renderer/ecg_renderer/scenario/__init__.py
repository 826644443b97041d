"""Prepare a MotionText scenario: whatever a client sends becomes 2.0 data that MotionText 1.5.0 accepts.

    1  load         bytes -> a clean tree, within limits                            load
    2  inline       references into define -> what they stand for                   load
    3  migrate      1.x and flat cue lists -> 2.0, milliseconds -> seconds          migrate, flat
    4  repair       types, ids, plugins, times, fonts, files to load                repair, plugins, times, writing
    5  validate     tracks; a mistake that only its author can correct is an error  model
    6  lay out      when is each cue in the page, when do plugins run               times

A 2.0 scenario that MotionText accepts looks the same before and after.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ecg_renderer.scenario.load import adopt_definitions, inline_defines, load
from ecg_renderer.scenario.migrate import is_legacy, migrate, to_seconds
from ecg_renderer.scenario.model import (
    PICTURE,
    CueSpan,
    Picture,
    Scenario,
    canonical_hash,
    check_structure,
    check_tracks,
    drop_holes,
)
from ecg_renderer.scenario.plugins import (
    PluginRules,
    Schema,
    UnknownPlugins,
    plugin_key,
    plugin_keys,
    repair_plugins,
)
from ecg_renderer.scenario.repair import name_types, repair_cues, repair_frame
from ecg_renderer.scenario.report import Finding, Report
from ecg_renderer.scenario.times import keep_visible
from ecg_renderer.scenario.writing import check_writing, font_uses, repair_writing
from ecg_renderer.served import FontUse

__all__ = [
    "CueSpan", "Draft", "Finding", "FontUse", "Picture", "PluginRules", "Report", "Scenario", "canonical_hash", "draft",
    "font_uses", "plugin_key", "prepare",
]  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """A scenario of version 2.0 with its references replaced, before its plugins are looked for.

    `data` is changed by `prepared`: call that once.
    """

    data: dict[str, Any]
    report: Report
    duration: float
    rate: Fraction | None
    first: Fraction

    @property
    def plugin_keys(self) -> frozenset[str]:
        """The plugins that it names, each with a version, as in "glow@2.0.0"."""
        return plugin_keys(self.data)

    def prepared(self, rules: PluginRules) -> Scenario:
        """Return the scenario ready to be planned and rendered; raises ScenarioError."""
        data, report = self.data, self.report
        used = repair_plugins(data, rules, report)
        repair_cues(data, self.duration, report)
        check_tracks(data, report)
        repair_writing(data, report)
        check_writing(data, report)
        cues, origins, latest = keep_visible(data, self.duration, self.rate, self.first, report)
        drop_holes(data)
        said = report.warnings, report.findings
        return Scenario(data, cues, used, font_uses(data), *said, origins, latest, report.routine)


def draft(
    raw: bytes | str | dict[str, Any],
    *,
    duration: Fraction | float,
    rate: Fraction | None = None,
    first: Fraction = Fraction(0),
    picture: Picture = PICTURE,
    report: Report | None = None,
) -> Draft:
    """Return the scenario as far as it can be prepared before its plugins are known; see `prepare`.

    `report` may hold what was found when it was made of subtitles.
    """
    report = report or Report("scenario")
    data = load(raw, report)
    legacy = is_legacy(data, report)
    data = inline_defines(adopt_definitions(data) if legacy else data, report)
    check_structure(data, report)
    report.about(data["cues"])
    to_seconds(data, report)
    name_types(data, legacy=legacy, report=report)
    migrate(data, legacy=legacy, picture=picture, report=report)
    repair_frame(data, report)
    return Draft(data, report, float(duration), rate, first)


def prepare(
    raw: bytes | str | dict[str, Any],
    *,
    duration: Fraction | float,
    rate: Fraction | None = None,
    first: Fraction = Fraction(0),
    known_plugins: Mapping[str, Schema],
    unknown_plugins: UnknownPlugins = "static",
    picture: Picture = PICTURE,
    origin: str = "scenario",
) -> Scenario:
    """Return the scenario ready to be planned and rendered; `raw` is left as it is.

    `duration` is when the video ends in seconds, `first` when its first frame is shown, `rate` its frames a second;
    without it the scenario is for no frames in particular, and plugins may run between them unseen. `known_plugins` are
    bare names, with what they read; others are left out with a warning, or with "fail" an error. `picture` is what
    captions are laid out on. `origin` is how messages call the scenario, as in `captions.json: cues[3].track: ...`.
    Errors: ScenarioError, which names the place and what to do.
    """
    found = draft(raw, duration=duration, rate=rate, first=first, picture=picture, report=Report(origin))
    return found.prepared(PluginRules(known_plugins, unknown_plugins))
