from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from ecg_api.renderjob import ManifestProblems, RenderJob, parse_render_job, set_path

NO_QUANTITY = "is not a whole number or text such as '500m', '1.5' or '4Gi'"
DIGEST = "0123456789abcdef" * 4


def problems(manifest: object) -> list[str]:
    with pytest.raises(ManifestProblems) as caught:
        parse_render_job(manifest)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_what_is_left_out_gets_the_documented_defaults(manifest: dict[str, Any]) -> None:
    spec = parse_render_job(manifest).spec
    options = spec.options
    assert (options.width, options.height, options.fps) == (None, None, None)
    assert (options.quality, options.preset, options.format) == (90, "veryfast", "mp4")
    assert (options.encoder, options.fit, options.layout) == ("auto", "cover", "viewport")
    assert (options.frame_policy, options.unknown_plugins) == ("block", "static")
    assert spec.output.presign_seconds == 604_800
    assert (spec.retry.per_segment, spec.retry.disruptions, spec.retry.on_demand_after) == (2, 6, 2)
    assert (spec.deadlines.active_seconds, spec.deadlines.pending_seconds) == (1500, 900)
    assert (spec.ttl.succeeded_seconds, spec.ttl.failed_seconds) == (None, None)
    assert (spec.segments.max, spec.segments.target_seconds) == (None, None)
    assert (spec.priority, spec.suspend, spec.cancel, spec.callback) == (0, False, False, None)
    assert (spec.reuse, spec.managed_by, spec.options.codec) == (True, None, None)
    assert spec.placement.gpus == 1


def test_fractions_that_an_earlier_crd_has_let_in_are_taken_from_an_api_server(manifest: dict[str, Any]) -> None:
    amounts = {"limits": {"cpu": 1.5, "memory": "2Gi"}, "claims": []}
    manifest["spec"] |= {"segments": {"targetSeconds": 1.5}, "placement": {"resources": amounts}}

    spec = parse_render_job(manifest, pruned=True).spec

    assert spec.segments.target_seconds == 2
    assert spec.placement.resources is not None
    assert spec.placement.resources.limits == {"cpu": "1.5", "memory": "2Gi"}
    assert manifest["spec"]["segments"] == {"targetSeconds": 1.5}
    with pytest.raises(ManifestProblems, match=r"1\.5 is not a whole number"):
        parse_render_job(manifest)


@pytest.mark.parametrize("part", ["segments", "placement"])
def test_what_no_crd_has_let_in_is_refused_from_an_api_server_too(manifest: dict[str, Any], part: str) -> None:
    manifest["spec"][part] = []
    with pytest.raises(ManifestProblems, match=f"spec.{part}"):
        parse_render_job(manifest, pruned=True)


def test_everything_that_may_be_written_is_read(manifest: dict[str, Any]) -> None:
    written = yaml.safe_load(
        """
        source: {uri: /videos/in.mov}
        scenario: {configMapRef: {name: captions, key: scenario.json}, sha256: %s}
        options: {width: 1081, height: 7680, fps: 30000/1001, quality: 10, preset: placebo, format: webm,
                  codec: av1, encoder: nvenc, fit: contain, layout: preview, framePolicy: drop, unknownPlugins: fail}
        output: {uri: out/video.webm, publicBaseUrl: https://cdn.example.com/v, presignSeconds: 60}
        callback: {url: http://backend:8000/done}
        segments: {max: 13, targetSeconds: 20}
        placement:
          gpus: 0
          nodeSelector: {karpenter.sh/capacity-type: spot}
          tolerations: [{key: gpu, operator: Exists, effect: NoSchedule, tolerationSeconds: 5}]
          runtimeClassName: nvidia
          priorityClassName: batch
          resources: {requests: {cpu: 2}, limits: {memory: 4Gi}}
          podTemplateOverrides: {spec: {hostAliases: []}}
        retry: {perSegment: 0, disruptions: 0, onDemandAfter: 0}
        deadlines: {activeSeconds: 1, pendingSeconds: 1}
        ttl: {succeededSeconds: 0, failedSeconds: 86400}
        reuse: false
        managedBy: kueue.x-k8s.io/multikueue
        priority: -5
        suspend: true
        cancel: true
    """.replace("%s", DIGEST)
    )
    manifest["spec"] = written
    job = parse_render_job(manifest)
    again = job.model_dump(mode="json", exclude_unset=True)
    assert again["spec"] == written


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("spec.options.quality=150", "spec.options.quality: 150 is above 100"),
        ("spec.options.quality=9", "spec.options.quality: 9 is below 10"),
        ("spec.options.quality='80'", "spec.options.quality: '80' is not a whole number"),
        ("spec.options.width=640.5", "spec.options.width: 640.5 is not a whole number"),
        ("spec.options.width=true", "spec.options.width: true is not a whole number"),
        ("spec.options.height=63", "spec.options.height: 63 is below 64"),
        ("spec.options.height=7681", "spec.options.height: 7681 is above 7680"),
        ("spec.options.fps=121", "spec.options.fps: 121 is above 120"),
        ("spec.options.codec=h265", "spec.options.codec: 'h265' is not one of h264, hevc, av1; did you mean h264?"),
        (
            "spec.options={format: webm, codec: hevc}",
            "spec.options: format webm takes codec av1, or VP9 if codec is omitted; found hevc",
        ),
        ("spec.segments.targetSeconds=2.5", "spec.segments.targetSeconds: 2.5 is not a whole number"),
        (
            "spec.placement.resources.limits.memory=lots",
            f"spec.placement.resources.limits.memory: 'lots' {NO_QUANTITY}",
        ),
        (
            "spec.placement.resources.requests.cpu=0.5",
            f"spec.placement.resources.requests.cpu: 0.5 {NO_QUANTITY}",
        ),
        ("spec.placement.resources.memory=4Gi", "spec.placement.resources.memory: unknown field"),
        ("spec.callback={url: 'https://a/b', secretRef: {}}", "spec.callback.secretRef: unknown field"),
        (
            "spec.managedBy=kueue",
            "spec.managedBy: 'kueue' is not a name with a domain before it, such as example.com/controller",
        ),
        ("spec.reuse=never", "spec.reuse: 'never' is not true or false"),
        ("spec.options=fast", "spec.options: 'fast' is not a mapping"),
        ("spec.options.fit=[cover]", "spec.options.fit: a list is not one of cover, contain"),
        ("spec.options.format=webp", "spec.options.format: 'webp' is not one of mp4, mov, webm; did you mean webm?"),
        ("spec.options.qualty=80", "spec.options.qualty: unknown field; did you mean quality?"),
        ("spec.options.frame_policy=drop", "spec.options.frame_policy: unknown field; did you mean framePolicy?"),
        ("spec.quality=80", "spec.quality: unknown field; did you mean spec.options.quality?"),
        ("options.quality=80", "options: unknown field; did you mean spec.options?"),
        ("spec.zebra=1", "spec.zebra: unknown field"),
        ("spec.framesDone=1", "spec.framesDone: unknown field"),
        ("spec.callback.url=https://", "spec.callback.url: is not an http:// or https:// address"),
        ("spec.callback.url=backend/done", "spec.callback.url: is not an http:// or https:// address"),
        ("spec.callback.url=ftp://u:SECRET@h/?t=SECRET", "spec.callback.url: is not an http:// or https:// address"),
        ("spec.source=null", "spec.source: is missing"),
        ("spec.source.uri=''", "spec.source.uri: is empty"),
        ("spec.suspend='yes'", "spec.suspend: 'yes' is not true or false"),
        ("spec.placement.tolerations={}", "spec.placement.tolerations: a mapping is not a list"),
        (
            "spec.placement.tolerations=[{operator: Equals}]",
            "spec.placement.tolerations[0].operator: 'Equals' is not one of Exists, Equal; did you mean Equal?",
        ),
        ("spec.placement.nodeSelector.zone=1", "spec.placement.nodeSelector.zone: 1 is not text"),
        ("kind=RenderJobs", "kind: 'RenderJobs' is not RenderJob; did you mean RenderJob?"),
        ("apiVersion=v1", "apiVersion: 'v1' is not render.ecg.dev/v1alpha1"),
        ("metadata={}", "metadata.name: is missing"),
        (
            "metadata.name=My Video",
            "metadata.name: 'My Video' is not made of lower-case letters and digits, with '-' only between them",
        ),
        (f"metadata.name={'a' * 49}", "metadata.name: is longer than 48 characters"),
    ],
)
def test_a_broken_rule_is_told_with_its_path(manifest: dict[str, Any], assignment: str, problem: str) -> None:
    assert problems(set_path(manifest, assignment)) == [problem]


@pytest.mark.parametrize(
    ("scenario", "problem"),
    [
        ({}, "spec.scenario: give exactly one of inline, uri and configMapRef; found none"),
        (
            {"uri": "a.json", "inline": {"cues": []}},
            "spec.scenario: give exactly one of inline, uri and configMapRef; found inline and uri",
        ),
        (
            {"inline": {}, "uri": "a.json", "configMapRef": {"name": "a", "key": "b"}},
            "spec.scenario: give exactly one of inline, uri and configMapRef; found inline and uri and configMapRef",
        ),
        ({"inline": {}, "sha256": DIGEST}, "spec.scenario: sha256 belongs to uri or configMapRef, not to inline"),
        (
            {"uri": "a.json", "sha256": "XYZ"},
            "spec.scenario.sha256: 'XYZ' is not made of 64 hexadecimal digits in lower case",
        ),
        ({"configMapRef": {"name": "a"}}, "spec.scenario.configMapRef.key: is missing"),
        ({"inline": []}, "spec.scenario.inline: a list is not a mapping"),
    ],
)  # fmt: skip
def test_the_scenario_is_given_in_exactly_one_way(
    manifest: dict[str, Any], scenario: dict[str, Any], problem: str
) -> None:
    manifest["spec"]["scenario"] = scenario
    assert problems(manifest) == [problem]


@pytest.mark.parametrize(
    ("path", "uri", "problem"),
    [
        ("source", "in.mp4", ""),
        ("source", "/videos/a b?.mp4", ""),
        ("source", "C:\\videos\\in.mp4", ""),
        ("source", "file:///videos/in.mp4", ""),
        ("source", "https://host/in.mp4?sig=1", ""),
        ("source", "http://localhost:9000/in.mp4", ""),
        ("source", "http://[::1]/in.mp4", ""),
        ("source", "http://host/in.mp4", "http:// is read from this machine only; use https://"),
        ("source", "http://localhost.evil/in.mp4", "http:// is read from this machine only; use https://"),
        ("source", "ftp://host/in.mp4", "cannot read from ftp://; use s3://, https://, file:// or a path"),
        ("scenario", "gs://b/s.json", "cannot read from gs://; use s3://, https://, file:// or a path"),
        ("source", "http://[bad/in.mp4", "is not an address"),
        ("output", "out.mp4", ""),
        ("output", "https://host/out.mp4", "cannot write to https://; use s3://, file:// or a path"),
    ],
)
def test_addresses_are_ones_that_can_be_used(manifest: dict[str, Any], path: str, uri: str, problem: str) -> None:
    manifest["spec"][path] = {"uri": uri}
    if problem:
        assert problems(manifest) == [f"spec.{path}.uri: {problem}"]
    else:
        assert getattr(parse_render_job(manifest).spec, path).uri == uri


def test_all_problems_are_told_at_once(manifest: dict[str, Any]) -> None:
    del manifest["kind"]
    manifest["spec"]["options"] = {"quality": 0, "preset": "fastest"}
    assert [line.split(":")[0] for line in problems(manifest)] == [
        "kind",
        "spec.options.quality",
        "spec.options.preset",
    ]


@pytest.mark.parametrize("data", [None, "job.yaml", [], 3])
def test_what_is_no_manifest_at_all_is_told_so(data: object) -> None:
    assert problems(data) == ["manifest: must be a mapping with apiVersion, kind, metadata and spec"]


def test_empty_yaml_keys_mean_the_default_as_on_a_cluster(manifest: dict[str, Any]) -> None:
    manifest["spec"] |= {"options": {"quality": None, "fps": None}, "segments": None, "suspend": None}
    manifest["status"] = None
    job = parse_render_job(manifest)
    assert job.spec.options.quality == 90
    assert job.spec.segments.max is None
    assert job.spec.suspend is False


def test_an_inline_scenario_is_kept_as_it_is_whatever_its_size(manifest: dict[str, Any]) -> None:
    cues = [{"id": f"cue-{n}", "text": "단어 " * 50, "style": None} for n in range(900)]
    manifest["spec"]["scenario"] = {"inline": {"version": "2.0", "cues": cues}}
    assert parse_render_job(manifest).spec.scenario.inline == {"version": "2.0", "cues": cues}


def test_a_manifest_that_comes_back_from_a_cluster_is_read(manifest: dict[str, Any]) -> None:
    manifest["metadata"] |= {
        "generation": 2,
        "uid": "5f0c",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    manifest["status"] = {
        "phase": "Rendering",
        "fieldOfANewerVersion": 1,
        "conditions": [
            {
                "type": "TypeOfANewerVersion",
                "status": "True",
                "reason": "NewerReason",
                "message": "",
                "lastTransitionTime": "2026-03-01T10:00:00Z",
            }
        ],
    }
    status = parse_render_job(manifest).status
    assert status is not None
    assert status.phase == "Rendering"


def test_a_job_can_be_built_in_python_names_and_cannot_be_changed(manifest: dict[str, Any]) -> None:
    job = parse_render_job(manifest)
    same = RenderJob(api_version="render.ecg.dev/v1alpha1", kind="RenderJob", metadata=job.metadata, spec=job.spec)
    assert same == job
    with pytest.raises(ValidationError, match="frozen"):
        job.spec.priority = 3


def test_long_values_are_shortened_in_messages(manifest: dict[str, Any]) -> None:
    (line,) = problems(set_path(manifest, f"spec.options.format={'x' * 500}"))
    assert re.fullmatch(r"spec\.options\.format: 'x{40,60}\.\.\. is not one of mp4, mov, webm", line)
