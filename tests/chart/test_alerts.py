"""Alerts: each fires when it should and is silent when it should not, by the rules that the chart ships."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alert_cases import CASES
from chart import CHART, ROOT, WORK, helm_template, objects, of_kind
from prometheus_tools import program

RULES = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
END = "1h10m"


def test_every_alert_has_cases() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What promtool says when it expects silence: in cases that fire, and in those that do not."""
    folder = tmp_path_factory.mktemp("alerts")
    kinds = {"fires": 0, "silent": 1}
    return {kind: _expecting_silence(place, folder / f"{kind}.yaml") for kind, place in kinds.items()}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_fires_when_it_should_and_is_silent_when_it_should_not(alert: str, told: dict[str, str]) -> None:
    heading = f"alertname: {alert}, time: {END}"
    assert told["fires"].count(heading) == len(CASES[alert][0]), told["fires"]
    assert heading not in told["silent"], told["silent"]


def test_the_seven_alarms_have_their_thresholds_and_weights() -> None:
    thresholds = {
        alert: (
            float(re.findall(r"(?:>|==) ([0-9.]+)\s*(?:unless.*)?$", ALERTS[alert]["expr"].strip(), re.S)[-1]),
            weight,
        )
        for alert, weight in (
            ("EcgGpuMemoryHigh", "critical"),
            ("EcgQueueDepthHigh", "critical"),
            ("EcgFrameDropRateHigh", "critical"),
            ("EcgWorkerHealthFailed", "critical"),
            ("EcgCpuHigh", "warning"),
            ("EcgMemoryHigh", "warning"),
            ("EcgResponseTimeHigh", "warning"),
        )
        if ALERTS[alert]["labels"]["severity"] == weight
    }
    assert thresholds == {
        "EcgGpuMemoryHigh": (0.9, "critical"),
        "EcgQueueDepthHigh": (50, "critical"),
        "EcgFrameDropRateHigh": (0.05, "critical"),
        "EcgWorkerHealthFailed": (0, "critical"),
        "EcgCpuHigh": (0.8, "warning"),
        "EcgMemoryHigh": (0.85, "warning"),
        "EcgResponseTimeHigh": (3, "warning"),
    }
    assert ALERTS["EcgCpuHigh"]["for"] == "5m"


def test_the_chart_ships_these_rules_each_with_a_link_to_its_section() -> None:
    rules = _shipped("alerts.runbookUrl=https://wiki.example.com/runbook")
    assert list(rules) == list(ALERTS)
    for alert, rule in rules.items():
        assert rule["annotations"].pop("runbook_url") == f"https://wiki.example.com/runbook#{alert.lower()}"
        assert rule == ALERTS[alert]


def test_the_runbook_has_a_section_for_each_alert_and_for_no_other() -> None:
    text = (ROOT / "docs/runbook.md").read_text()
    assert re.findall(r"^## (Ecg\w+)$", text, re.M) == list(ALERTS)
    for section in re.split(r"^## ", text, flags=re.M)[1:]:
        if section.startswith("Ecg"):
            assert "    kubectl" in section or "    curl" in section, f"{section.splitlines()[0]} has no command"


def test_an_alert_can_be_left_out_or_changed_by_its_name() -> None:
    rules = _shipped(
        "alerts.disabled={EcgCpuHigh}", "alerts.overrides.EcgQueueDepthHigh.for=10m", "alerts.labels.release=prom"
    )
    assert set(ALERTS) - set(rules) == {"EcgCpuHigh"}
    assert rules["EcgQueueDepthHigh"]["for"] == "10m"
    assert rules["EcgQueueDepthHigh"]["expr"] == ALERTS["EcgQueueDepthHigh"]["expr"]
    assert "there is no alert EcgCpuHihg" in helm_template(WORK, "alerts.disabled={EcgCpuHihg}").stderr


def _shipped(*settings: str) -> dict[str, Any]:
    (rule,) = of_kind(objects(WORK, "alerts.enabled=true", *settings), "PrometheusRule")
    return {one["alert"]: one for group in rule["spec"]["groups"] for one in group["rules"]}


def _expecting_silence(place: int, file: Path) -> str:
    """Return what promtool says to the firing (0) or the silent (1) cases of all alerts if none is to fire."""
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "alert_rule_test": [{"eval_time": END, "alertname": alert, "exp_alerts": []}],
        }
        for alert, cases in CASES.items()
        for series in cases[place]
    ]
    rules = str(CHART / "files/alerts.yaml")
    file.write_text(json.dumps({"rule_files": [rules], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([program("promtool"), "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode in (0, 1) and "Unit Testing" in done.stdout + done.stderr
    return done.stdout + done.stderr
