"""The examples are what a newcomer copies from, so they must be flawless."""

from __future__ import annotations

from os.path import normpath
from pathlib import Path

import pytest
import yaml

from ecg_api.renderjob import parse_render_job
from ecg_renderer.scenario import prepare
from ecg_renderer.served import known_plugins

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS_OF_FOOTAGE = 5.28
SCENARIOS = sorted(path.name for path in EXAMPLES.glob("scenario*.json"))


def test_the_example_job_is_valid_and_reads_and_writes_where_make_run_expects() -> None:
    job = parse_render_job(yaml.safe_load((EXAMPLES / "renderjob.yaml").read_text()))
    out = EXAMPLES.parent / "out"
    assert (EXAMPLES / str(job.spec.scenario.uri)).is_file()
    assert Path(normpath(EXAMPLES / job.spec.source.uri)).parent == out / "footage"
    assert Path(normpath(EXAMPLES / job.spec.output.uri)).parent == out


def test_the_job_for_a_cluster_keeps_everything_in_storage() -> None:
    spec = parse_render_job(yaml.safe_load((EXAMPLES / "renderjob-cluster.yaml").read_text())).spec
    assert {uri.partition("://")[0] for uri in (spec.source.uri, str(spec.scenario.uri), spec.output.uri)} == {"s3"}


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_example_scenario_needs_no_repair(name: str) -> None:
    scenario = prepare((EXAMPLES / name).read_bytes(), duration=SECONDS_OF_FOOTAGE, known_plugins=known_plugins())
    assert list(scenario.warnings) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_an_example_scenario_colours_every_word_and_shows_each_other_effect_once(name: str) -> None:
    scenario = prepare((EXAMPLES / name).read_bytes(), duration=SECONDS_OF_FOOTAGE, known_plugins=known_plugins())
    words = [word for cue in scenario.data["cues"] for word in cue["root"]["children"]]
    effects = [plugin["name"].partition("@")[0] for word in words for plugin in word["pluginChain"]]
    others = ["cwi-bouncing", "cwi-loud", "cwi-whisper", "elastic", "fadein"]
    assert effects.count("cwi-color") == len(words)
    assert sorted(set(effects) - {"cwi-color"}) == others
    assert [effects.count(effect) for effect in others] == [1] * len(others)
