"""What a real API server makes of the definition: what it refuses, fills in, shows and publishes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import yaml

from control_plane import CRD, ControlPlane
from ecg_api.overrides import set_path
from ecg_api.renderjob import parse_render_job

Json = dict[str, Any]
CREATED = "created"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as running:
        yield running


def test_more_cues_than_fit_inline_are_refused_at_once(plane: ControlPlane, manifest: Json) -> None:
    cues = [{"text": "a"}, None]
    assert CREATED in tried(plane, {**manifest, "spec": {**manifest["spec"], "scenario": {"inline": {"cues": cues}}}})
    many = {**manifest["spec"], "scenario": {"inline": {"cues": cues * 251}}}
    said = tried(plane, {**manifest, "spec": many})
    assert "spec.scenario.inline.cues: Too many" in said
    assert "at most 500" in said


def with_parts(manifest: Json, *assignments: str) -> Json:
    for assignment in assignments:
        manifest = set_path(manifest, assignment)
    return manifest


def tried(plane: ControlPlane, manifest: Json) -> str:
    """Return what kubectl says about creating `manifest`, without it being created."""
    return plane.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)


@pytest.mark.parametrize(
    "assignment",
    [
        "spec.options.fps=30",
        "spec.options.fps='29.97'",
        "spec.options.fps=30000/1001",
        "spec.source.uri=https://host/in.mp4?sig=1",
        "spec.options={format: webm, codec: av1}",
        "spec.options={format: mov, codec: hevc}",
        "spec.managedBy=kueue.x-k8s.io/multikueue",
        "spec.managedBy=render.ecg.dev/operator",
        "spec.reuse=false",
        "spec.segments.targetSeconds=20",
        "spec.renditions=[{uri: 's3://a/b.mp4', width: 1080, height: 1920, focus: {x: 30}, codec: av1}, "
        "{uri: 's3://a/c.mov'}, {uri: 's3://a/c.webm', content: captions, codec: vp9}, {uri: 's3://a/c.VTT'}]",
        "spec={storage: {profile: auto}, source: {uri: 's3://a/b.mp4'}, scenario: {uri: 's3://a/b.json'}, "
        "output: {uri: 's3:///a.mp4'}, renditions: [{uri: 's3:///a.srt'}]}",
        "spec.placement.resources={requests: {cpu: 2, example.com/disks: 1}, limits: {cpu: '0.5', memory: 4Gi}}",
        "spec.placement.podTemplateOverrides={spec: {affinity: {nodeAffinity: {}}}}",
        "spec.scenario={inline: {version: '2.0', cues: [{text: a, words: [1, 2.5, null]}]}}",
    ],
)
def test_what_can_be_rendered_is_taken(plane: ControlPlane, manifest: Json, assignment: str) -> None:
    changed = with_parts(manifest, assignment)
    parse_render_job(changed)
    assert CREATED in tried(plane, changed)


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("spec.options.fps=29.97", "spec.options.fps"),
        ("spec.options.fps=true", "spec.options.fps"),
        ("spec.options.fps=[30]", "spec.options.fps"),
        ("spec.options.fps={}", "spec.options.fps"),
        ("spec.options.fps=0", "spec.options.fps"),
        ("spec.options.fps=121", "spec.options.fps"),
        ("spec.options.fps=fast", "spec.options.fps"),
        ("spec.options.codec=vp8", "spec.options.codec"),
        ("spec.options={format: webm, codec: hevc}", "format webm takes codec av1, or VP9 if codec is omitted"),
        ("spec.options={format: webm, softSubtitles: true}", "softSubtitles goes with format mp4 and mov"),
        ("spec.renditions=[{uri: 's3://a/b.mkv'}]", "must end in .mp4"),
        ("spec.renditions=[{uri: '/tmp/b.mp4'}]", "must start with s3://"),
        ("spec.renditions=[{uri: 's3://a/b.webm'}]", "a .webm can be a video"),
        ("spec.renditions=[{uri: 's3://a/b.mp4', content: captions}]", "captions alone need an alpha channel"),
        ("spec.renditions=[{uri: 's3://a/b.srt', codec: h264}]", "subtitles are text"),
        ("spec.renditions=[{uri: 's3://a/b.mov', codec: h264}]", "the codec does not go with"),
        ("spec.renditions=[{uri: 's3://a/b.mov', format: mp4}]", "format must be what the address ends in"),
        ("spec.renditions=[{uri: 's3://a/b.srt'}, {uri: 's3://a/b.srt'}]", "two outputs have one address"),
        ("spec.renditions=[{uri: 's3://videos/out.mp4'}]", "two outputs have one address"),
        ("spec.renditions=[{uri: 's3://a/b.mp4', width: 10}]", "spec.renditions[0].width"),
        ("spec.renditions=[{uri: 's3://a/b.mp4', focus: {x: 101}}]", "spec.renditions[0].focus.x"),
        ("spec.segments.targetSeconds=2.5", "spec.segments.targetSeconds"),
        ("spec.source.uri=file:///etc/passwd", "must start with s3:// or https://"),
        ("spec.source.uri=/etc/passwd", "must start with s3:// or https://"),
        ("spec.source.uri=http://localhost/in.mp4", "must start with s3:// or https://"),
        ("spec.scenario.uri=file:///var/run/secrets/token", "must start with s3:// or https://"),
        ("spec.output.uri=file:///tmp/out.mp4", "must start with s3://"),
        ("spec.callback={url: 'https://a/b', secretRef: {name: a, key: b}}", 'unknown field "spec.callback.secretRef"'),
        ("spec.output.uri='s3:///a.mp4'", "names no bucket"),
        ("spec.renditions=[{uri: 's3:///b.mp4'}]", "names no bucket"),
        ("spec.storage={profile: Far}", "spec.storage.profile"),
        ("spec.managedBy=kueue", "spec.managedBy"),
        ("spec.managedBy=''", "spec.managedBy"),
        (f"spec.managedBy=example.com/{'a' * 60}", "spec.managedBy"),
        ("spec.reuse=never", "spec.reuse"),
        ("spec.placement.resources.limits.memory=lots", "spec.placement.resources.limits.memory"),
        ("spec.placement.resources.requests.cpu=0.5", "spec.placement.resources.requests.cpu"),
        ("spec.placement.resources.memory=4Gi", 'unknown field "spec.placement.resources.memory"'),
        ("spec.placement.podTemplateOverrides=[]", "spec.placement.podTemplateOverrides"),
        ("spec.placement.podTemplateOverrides={kind: Pod}", 'unknown field "spec.placement.podTemplateOverrides.kind"'),
        ("spec.scenario={inline: text}", "spec.scenario.inline"),
        ("spec.scenario={inline: {}, uri: 's3://a/b'}", "give exactly one of inline, uri and configMapRef"),
    ],
)
def test_what_no_pod_could_do_is_refused_with_its_path(
    plane: ControlPlane, manifest: Json, assignment: str, words: str
) -> None:
    said = tried(plane, with_parts(manifest, assignment))
    assert CREATED not in said
    assert words in said


class Stored:
    """A RenderJob that is there."""

    def __init__(self, plane: ControlPlane, manifest: Json) -> None:
        self.plane = plane
        self.name = f"rj-{secrets.token_hex(4)}"
        self.manifest = set_path(manifest, f"metadata.name={self.name}")
        plane.kubectl("create", "-f", "-", stdin=json.dumps(self.manifest))

    def replaced(self, spec: Json) -> str:
        """Return what kubectl says about putting another spec in place."""
        manifest = {**self.manifest, "spec": spec}
        return self.plane.kubectl("replace", "-f", "-", stdin=json.dumps(manifest), check=False)


CUE = {"id": "a", "root": {"children": []}}
FREE_FORMS: dict[str, tuple[Json, Json]] = {
    "a part in another's place": ({"cues": [], "tracks": [1]}, {"cues": [], "stage": [1]}),
    "a part in place of one that nobody reads": ({"cues": [], "note": 1}, {"cues": [], "define": 1}),
    "a field of a cue": ({"cues": [CUE]}, {"cues": [{"id": "a", "text": "b"}]}),
    "a value in a cue": ({"cues": [CUE]}, {"cues": [{**CUE, "id": "b"}]}),
    "a cue more": ({"cues": [CUE]}, {"cues": [CUE, CUE]}),
    "another order": ({"cues": [CUE, {"id": "b"}]}, {"cues": [{"id": "b"}, CUE]}),
    "deep inside": ({"stage": {"a": {"b": 1}}}, {"stage": {"a": {"c": 1}}}),
}


@pytest.mark.parametrize("case", FREE_FORMS)
def test_a_scenario_cannot_be_changed_after_creation_whatever_its_fields_are_called(
    plane: ControlPlane, manifest: Json, case: str
) -> None:
    before, after = FREE_FORMS[case]
    spec = {**manifest["spec"], "scenario": {"inline": before}}
    stored = Stored(plane, {**manifest, "spec": spec})
    assert "replaced" in stored.replaced(spec)
    assert "cannot be changed after creation" in stored.replaced({**spec, "scenario": {"inline": after}})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            {"podTemplateOverrides": {"spec": {"dnsPolicy": "x"}}},
            {"podTemplateOverrides": {"metadata": {"dnsPolicy": "x"}}},
        ),
        (
            {"podTemplateOverrides": {"spec": {"dnsPolicy": "x"}}},
            {"podTemplateOverrides": {"spec": {"hostNetwork": "x"}}},
        ),
        ({"resources": {"limits": {"memory": "4Gi"}}}, {"resources": {"limits": {"cpu": "4Gi"}}}),
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"b": "1"}}),
    ],
)
def test_pods_cannot_be_given_other_places_after_creation(
    plane: ControlPlane, manifest: Json, before: Json, after: Json
) -> None:
    spec = {**manifest["spec"], "placement": before}
    stored = Stored(plane, {**manifest, "spec": spec})
    assert "cannot be changed after creation" in stored.replaced({**spec, "placement": after})


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"cancel": True}, {"cancel": False}, "cannot be taken back"),
        ({"cancel": True}, {}, "cannot be taken back"),
        ({}, {"cancel": True}, ""),
        ({"suspend": True}, {"suspend": False}, ""),
        ({"cancel": True, "suspend": True}, {"cancel": True}, ""),
        ({}, {"priority": 5, "ttl": {"failedSeconds": 60}, "deadlines": {"activeSeconds": 60}}, ""),
        ({}, {"managedBy": "example.com/other"}, "cannot be changed after creation"),
        ({"managedBy": "example.com/other"}, {}, "cannot be changed after creation"),
        ({}, {"reuse": False}, "cannot be changed after creation"),
        ({"options": {"codec": "h264"}}, {"options": {}}, "cannot be changed after creation"),
    ],
)
def test_what_may_change_while_a_job_is_there(
    plane: ControlPlane, manifest: Json, before: Json, after: Json, words: str
) -> None:
    stored = Stored(plane, {**manifest, "spec": {**manifest["spec"], **before}})
    said = stored.replaced({**manifest["spec"], **after})
    assert (words in said) if words else ("replaced" in said), said


def test_the_server_fills_in_what_the_models_do(plane: ControlPlane, manifest: Json) -> None:
    made = plane.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(manifest))
    spec = json.loads(made)["spec"]
    assert (spec["reuse"], spec["cancel"], spec["priority"]) == (True, False, 0)
    assert parse_render_job({**manifest, "spec": spec}).spec == parse_render_job(manifest).spec


def test_people_see_why_a_job_waits_and_with_wide_how_fast_it_is(plane: ControlPlane, manifest: Json) -> None:
    stored = Stored(plane, manifest)
    status = {"phase": "Pending", "reason": "Queued", "progress": {"percent": 3, "framesPerSecond": 61.5}}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    plane.kubectl("patch", "rj", stored.name, *patch)
    head, row = plane.kubectl("get", "rj", stored.name).splitlines()
    assert head.split() == ["NAME", "PHASE", "REASON", "PROGRESS", "SEGMENTS", "ETA", "ENCODER", "AGE"]
    assert row.split()[:4] == [stored.name, "Pending", "Queued", "3"]
    wide = plane.kubectl("get", "rj", stored.name, "-o", "wide")
    assert wide.split()[8:10] == ["FPS", "OUTPUT"]
    assert "61.5" in wide
    assert stored.name in plane.kubectl("get", "render")
    assert stored.name not in plane.kubectl("get", "all")


def test_the_published_schema_says_whole_number_or_text_and_has_no_floats_in_the_spec(plane: ControlPlane) -> None:
    published = json.loads(plane.kubectl("get", "--raw", "/openapi/v3/apis/render.ecg.dev/v1alpha1"))
    schemas = published["components"]["schemas"]
    (kind,) = [schema for name, schema in schemas.items() if name.endswith(".RenderJob")]
    options = kind["properties"]["spec"]["properties"]["options"]["properties"]
    assert [one["type"] for one in options["fps"].get("anyOf") or options["fps"]["oneOf"]] == ["integer", "string"]
    assert '"type": "number"' not in json.dumps(kind["properties"]["spec"])
    explained = plane.kubectl("explain", "renderjobs.spec.options.fps")
    assert "a whole number, or text such as '29.97'" in " ".join(explained.split())


@pytest.mark.cluster
def test_a_version_with_one_field_more_needs_no_webhook_and_the_older_one_can_go(tmp_path: Any) -> None:
    """Do what docs/versions.md says, with a made-up v1beta1."""
    with ControlPlane(tmp_path) as plane:
        manifest = json.loads(json.dumps(yaml.safe_load(MANIFEST)))
        plane.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
        definition = yaml.safe_load(CRD.read_text())
        newer = deepcopy(definition["spec"]["versions"][0])
        newer["name"], newer["storage"] = "v1beta1", False
        # Kubernetes 1.35 refuses two versions that differ in their schemas, but not in this.
        newer["selectableFields"].append({"jsonPath": ".status.reason"})
        properties = newer["schema"]["openAPIV3Schema"]["properties"]
        properties["apiVersion"]["enum"] = ["render.ecg.dev/v1beta1"]
        for version in (newer, definition["spec"]["versions"][0]):  # in every served version
            version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["title"] = {"type": "string"}
        definition["spec"]["versions"].append(newer)
        plane.kubectl("replace", "-f", "-", stdin=json.dumps(definition))

        def stored(version: str) -> Json:
            found: Json = json.loads(plane.kubectl("get", f"renderjobs.{version}.render.ecg.dev", "demo", "-o", "json"))
            return found

        plane.kubectl("wait", "--for=condition=Established", "crd/renderjobs.render.ecg.dev", "--timeout=20s")
        assert stored("v1beta1")["apiVersion"] == "render.ecg.dev/v1beta1"
        assert stored("v1beta1")["spec"] == stored("v1alpha1")["spec"]

        first, second = definition["spec"]["versions"]
        first["storage"], second["storage"] = False, True
        plane.kubectl("replace", "-f", "-", stdin=json.dumps(definition))
        everything = plane.kubectl("get", "renderjobs.v1beta1.render.ecg.dev", "-A", "-o", "json")
        assert "replaced" in plane.kubectl("replace", "-f", "-", stdin=everything)
        patch = json.dumps({"status": {"storedVersions": ["v1beta1"]}})
        crd = ("crd", "renderjobs.render.ecg.dev")
        plane.kubectl("patch", *crd, "--subresource=status", "--type=merge", "-p", patch)
        definition["spec"]["versions"] = [second]
        plane.kubectl("replace", "-f", "-", stdin=json.dumps(definition))
        assert plane.kubectl("get", *crd, "-o", "jsonpath={.status.storedVersions}") == '["v1beta1"]'
        assert stored("v1beta1")["spec"]["source"] == manifest["spec"]["source"]


MANIFEST = """
apiVersion: render.ecg.dev/v1alpha1
kind: RenderJob
metadata: {name: demo}
spec: {source: {uri: "s3://a/b"}, scenario: {uri: "s3://a/c"}, output: {uri: "s3://a/d"}}
"""
