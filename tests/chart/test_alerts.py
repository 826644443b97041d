"""Alerts: each fires when it should and is silent when it should not, by the rules that the chart ships."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart import CHART, ROOT, WORK, helm_template, objects, of_kind
from prometheus_tools import program

RULES = yaml.safe_load((CHART / "files/alerts.yaml").read_text())
ALERTS = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
GPU = 'exported_container="renderer",gpu="0",Hostname="n"'
Series = dict[str, str]
END = "1h10m"

# By alert: what makes it fire, and what comes close and does not. Values are promtool's, one a minute: a+bxn.
CASES: dict[str, tuple[list[Series], list[Series]]] = {
    "EcgQueueDepthHigh": (
        [
            {'ecg_render_queue_depth{namespace="a",pod="s"}': "51x70"},
            {'ecg_jobs{namespace="a",phase="Pending"}': "51x70"},
        ],
        [
            {'ecg_render_queue_depth{namespace="a",pod="s"}': "50x70"},
            {'ecg_jobs{namespace="a",phase="Rendering"}': "99x70"},
        ],
    ),
    "EcgFrameDropRateHigh": (
        [
            {'ecg_render_frame_drop_rate{namespace="a"}': "0.06x70"},
            {
                'ecg_frames_dropped_total{namespace="a"}': "0+60x70",
                'ecg_frames_rendered_total{namespace="a"}': "0+1000x70",
            },
        ],
        [
            {'ecg_render_frame_drop_rate{namespace="a"}': "0.05x70"},
            {
                'ecg_frames_dropped_total{namespace="a"}': "0+40x70",
                'ecg_frames_rendered_total{namespace="a"}': "0+1000x70",
            },
            {
                'ecg_frames_dropped_total{namespace="a"}': "0x70",
                'ecg_frames_rendered_total{namespace="a"}': "0x70",
            },
        ],
    ),
    "EcgJobsStuck": (
        [{'ecg_jobs{namespace="a",phase="Pending"}': "3x70", 'ecg_jobs{namespace="a",phase="Rendering"}': "0x70"}],
        [
            {'ecg_jobs{namespace="a",phase="Pending"}': "3x70", 'ecg_jobs{namespace="a",phase="Merging"}': "1x70"},
            {'ecg_jobs{namespace="a",phase="Pending"}': "0x70", 'ecg_jobs{namespace="a",phase="Rendering"}': "0x70"},
            {
                'ecg_jobs{namespace="a",phase="Pending"}': "3x12 0x60",
                'ecg_jobs{namespace="a",phase="Rendering"}': "0x12 0x60",
            },
        ],
    ),
    "EcgGpuTimeWasted": (
        [
            {
                'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+30x90",
                'ecg_gpu_seconds_total{namespace="a"}': "0+100x90",
            }
        ],
        [
            {
                'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+10x90",
                'ecg_gpu_seconds_total{namespace="a"}': "0+100x90",
            },
            {'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+4x90", 'ecg_gpu_seconds_total{namespace="a"}': "0+5x90"},
        ],
    ),
    "EcgNoLeader": (
        [{'ecg_leader{namespace="a",pod="1"}': "0x70", 'ecg_leader{namespace="a",pod="2"}': "0x70"}],
        [{'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "0x70"}],
    ),
    "EcgTwoLeaders": (
        [{'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "1x70"}],
        [
            {'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="b",pod="2"}': "1x70"},
            {'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "0x66 1 0x9"},
        ],
    ),
    "EcgOperatorAbsent": ([{"up": "1x70"}], [{'ecg_build_info{version="1"}': "1x70"}]),
    "EcgReconcileStuck": (
        [{'ecg_queue_oldest_seconds{namespace="a"}': "121x70"}],
        [{'ecg_queue_oldest_seconds{namespace="a"}': "120x70"}],
    ),
    "EcgWatchSilent": (
        [
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="pods"}': "121x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="renderjobs"}': "901x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
        ],
        [
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="renderjobs"}': "600x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
            # A replica that waits watches nothing.
            {
                'ecg_watch_silence_seconds{namespace="a",pod="2",resource="pods"}': "9999x70",
                'ecg_leader{namespace="a",pod="2"}': "0x70",
            },
        ],
    ),
    "EcgReconcileErrors": (
        [{'ecg_reconcile_errors_total{namespace="a",error="Forbidden"}': "0+10x70"}],
        [
            {'ecg_reconcile_errors_total{namespace="a",error="Forbidden"}': "0+1x70"},
            {'ecg_reconcile_errors_total{namespace="a",error="Conflict"}': "0+10x70"},
        ],
    ),
    "EcgWorkerHealthFailed": (
        [{'ecg_render_healthy{namespace="a",pod="1"}': "0x70", 'ecg_render_healthy{namespace="a",pod="2"}': "1x70"}],
        [{'ecg_render_healthy{namespace="a",pod="1"}': "1x69 0", 'ecg_render_healthy{namespace="a",pod="2"}': "1x70"}],
    ),
    "EcgResponseTimeHigh": (
        [
            {
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="3.0"}': "0+90x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="5.0"}': "0+100x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="+Inf"}': "0+100x70",
            }
        ],
        [
            {
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="3.0"}': "0+100x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="+Inf"}': "0+100x70",
            },
            {
                f'ecg_render_request_duration_seconds_bucket{{namespace="a",route="{route}",le="{le}"}}': steps
                for route in ("/api/render/{job_id}/download", "/render")
                for le, steps in (("3.0", "0+10x70" if route == "/render" else "0x70"), ("+Inf", "0+10x70"))
            },
        ],
    ),
    "EcgCallbacksDead": (
        [
            {'ecg_callback_given_up_total{namespace="a"}': "0x60 1x10"},
            {'ecg_callback_dead_letters{namespace="a"}': "1x70"},
        ],
        [{'ecg_callback_given_up_total{namespace="a"}': "5x70", 'ecg_callback_dead_letters{namespace="a"}': "0x70"}],
    ),
    "EcgCallbackRejected": (
        [{'ecg_callback_rejected_total{namespace="a"}': "0x60 1x10"}],
        [{'ecg_callback_rejected_total{namespace="a"}': "7x70"}],
    ),
    "EcgGpuMemoryHigh": (
        [
            {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "91x70", f"DCGM_FI_DEV_FB_FREE{{{GPU}}}": "9x70"},
            {'DCGM_FI_DEV_FB_USED{container="renderer"}': "91x70", 'DCGM_FI_DEV_FB_FREE{container="renderer"}': "9x70"},
        ],
        [
            {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "90x70", f"DCGM_FI_DEV_FB_FREE{{{GPU}}}": "10x70"},
            # Somebody else's model fills its GPU, as it should.
            {'DCGM_FI_DEV_FB_USED{container="llm"}': "99x70", 'DCGM_FI_DEV_FB_FREE{container="llm"}': "1x70"},
        ],
    ),
    "EcgNvencUnused": (
        [{f"DCGM_FI_DEV_ENC_UTIL{{{GPU}}}": "0x70"}],
        [{f"DCGM_FI_DEV_ENC_UTIL{{{GPU}}}": "0x60 4 0x9"}, {'DCGM_FI_DEV_ENC_UTIL{container="llm"}': "0x70"}],
    ),
    "EcgCpuHigh": (
        [
            {
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="1"}': "0+240x70",
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="2"}': "0+180x70",
                'machine_cpu_cores{node="n"}': "8x70",
            }
        ],
        [
            {
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="1"}': "0+380x70",
                'machine_cpu_cores{node="n"}': "8x70",
            }
        ],
    ),
    "EcgMemoryHigh": (
        [
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "86x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "100x70",
            },
            {
                'container_memory_working_set_bytes{container="operator",namespace="a",pod="p"}': "86x70",
                'container_spec_memory_limit_bytes{container="operator",namespace="a",pod="p"}': "100x70",
                'ecg_leader{namespace="a",pod="p"}': "1x70",
            },
        ],
        [
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "85x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "100x70",
            },
            # No limit is told as 0, and another project's operator is no business of ours.
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "85x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "0x70",
            },
            {
                'container_memory_working_set_bytes{container="operator",namespace="b",pod="p"}': "99x70",
                'container_spec_memory_limit_bytes{container="operator",namespace="b",pod="p"}': "100x70",
            },
        ],
    ),
}


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
