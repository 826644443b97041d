"""What one can change about the chart: names, numbers, ways in, and which combinations are refused in which words."""

from __future__ import annotations

import json
import re
import shutil
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from chart import CHART, ROOT, SERVICE, WORK, Json, container, helm_template, objects, of_kind, pod
from ecg_api.renderjob import NAME_LENGTH, parse_render_job
from ecg_cluster.cache import Key
from ecg_common.profiles import key_references
from ecg_operator.manifests import Owner, Round, segment_job
from ecg_operator.settings import read_settings
from ecg_shim.settings import Settings

PROFILES = (
    WORK, "storage.profiles[0].name=near", "storage.profiles[0].bucket=videos", "storage.profiles[0].secret=keys",
    "storage.profiles[0].replica=far-1", "storage.profiles[0].cdn.baseUrl=https://cdn.example.com",
    "storage.profiles[0].cdn.keyPairId=K1", "storage.profiles[0].cdn.secret=cdn",
    "storage.profiles[1].name=far-1", "storage.profiles[1].bucket=copies", "storage.profiles[1].secret=far-keys",
)  # fmt: skip
TLS = "service.ingress.tls[0].hosts={c.d}"


def test_the_crd_is_that_of_the_models_and_stays_when_the_release_goes() -> None:
    (crd,) = of_kind(objects(WORK), "CustomResourceDefinition")
    assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert crd["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
    assert crd == yaml.safe_load((ROOT / "crds/renderjob.yaml").read_text())


def test_the_crd_can_be_left_to_others() -> None:
    assert not of_kind(objects(WORK, "crds.install=false"), "CustomResourceDefinition")


@pytest.mark.parametrize(
    ("settings", "budgets"),
    [
        ([], {"ecg-render-operator": 1, "ecg-render-service": 1}),
        (["operator.replicas=1"], {"ecg-render-service": 1}),
        (
            ["operator.replicas=3", "operator.podDisruptionBudget.maxUnavailable=2", "service.replicas=1"],
            {"ecg-render-operator": 2},
        ),
        (["service.autoscaling.enabled=true", "service.autoscaling.minReplicas=1"], {"ecg-render-operator": 1}),
        (["operator.podDisruptionBudget.enabled=false"], {"ecg-render-service": 1}),
    ],
)  # fmt: skip
def test_pods_of_several_are_protected_and_a_single_one_blocks_no_drain(
    settings: list[str], budgets: dict[str, int]
) -> None:
    found = of_kind(objects(*SERVICE, *settings), "PodDisruptionBudget")
    assert {one["metadata"]["name"]: one["spec"]["maxUnavailable"] for one in found} == budgets


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([WORK, "service.ingress.enabled=true"], "service.ingress is enabled, and the service is not"),
        ([WORK, "service.httpRoute.enabled=true"], "service.httpRoute is enabled, and the service is not"),
        ([WORK, "service.autoscaling.enabled=true"], "service.autoscaling is enabled, and the service is not"),
        ([*SERVICE, "service.ingress.enabled=true"], "service.ingress.hosts is needed"),
        (
            [*SERVICE, "service.ingress.enabled=true", "service.ingress.hosts={a}", TLS],
            "a certificate for c.d",
        ),
        ([*SERVICE, "service.httpRoute.enabled=true"], "service.httpRoute.parentRefs is needed"),
        (
            [*SERVICE, "service.autoscaling.enabled=true", "service.autoscaling.minReplicas=9"],
            "minReplicas (9) is more than maxReplicas (6)",
        ),
        ([*SERVICE, "metrics.monitor=PodMonitor", "metrics.tokenKey=T"], "metrics.tokenKey names an entry of"),
        ([WORK, "worker.serviceAccount.annotations.a=b"], "set worker.serviceAccount.create"),
        ([WORK, "metrics.monitor=Yes"], "/metrics/monitor"),
        (["work.uri=file:///work"], "/work/uri"),
        *(
            ([WORK, f"{labels}.app\\.kubernetes\\.io/name=x"], "'app.kubernetes.io/name'")
            for labels in ("commonLabels", "operator.podLabels", "service.podLabels", "metrics.labels")
        ),
        ([WORK, "operator.podLabels.render\\.ecg\\.dev/role=x"], "'render.ecg.dev/role'"),
        (
            [WORK, "operator.extraEnv[0].name=WORK_URI", "operator.extraEnv[0].value=s3://other"],
            "operator.extraEnv.WORK_URI: set work.uri instead",
        ),
        (
            [WORK, "operator.extraEnv[0].name=WORKERS", "operator.env.WORKERS=8"],
            "operator.extraEnv: WORKERS is in operator.env already",
        ),
        (
            [*SERVICE, "service.extraEnv[0].name=ECG_KEEP_DAYS", "service.extraEnv[1].name=ECG_KEEP_DAYS"],
            "service.extraEnv: ECG_KEEP_DAYS is in service.extraEnv already",
        ),
        ([WORK, "operator.image.digest=sha256:1"], "/operator/image/digest"),
        ([WORK, "operator.env.WORK_URI=s3://other"], "operator.env.WORK_URI: set work.uri instead"),
        ([WORK, "operator.env.MERGE_MEMORY_LIMIT=1Gi"], "MERGE_MEMORY_LIMIT: set resources.merge.memoryLimit"),
        ([*SERVICE, "service.env.ECG_PORT=1", "service.env.LOG_LEVEL=DEBUG"], "env.LOG_LEVEL: set service.logLevel"),
        ([WORK, "capacity.timeZone=../Seoul"], "/capacity/timeZone"),
        ([WORK, "networkPolicy.apiServer={10.0.0.1}"], "/networkPolicy/apiServer"),
        ([WORK, "priorityClasses.a.valu=1"], "valu"),
        ([WORK, "storage.profiles[0].name=a", "storage.profiles[0].buket=b"], "buket"),
        ([WORK, "storage.profiles[0].name=a"], "bucket"),
        ([WORK, "cloudwatch.namespace=ECG/Render"], "cloudwatch.namespace: the figures are the service's"),
        ([*SERVICE, "cloudwatch.namespace=AWS GPU"], "/cloudwatch/namespace"),
        ([WORK, "storage.default=auto"], "storage.default needs storage.profiles"),
        ([*PROFILES, "storage.default=fra"], 'storage.default is "fra", which is not in storage.profiles'),
        ([*PROFILES, "storage.profiles[0].replica=near"], 'the replica of near is "near", which is no other profile'),
        ([*PROFILES, "storage.profiles[1].name=near"], "storage.profiles: two are called near"),
        ([*PROFILES, "storage.profiles[0].sources={copies}"], "sources of near: copies belongs to far-1 already"),
        (
            [*PROFILES, "storage.profiles[0].sources={in}", "storage.profiles[1].sources={in}"],
            "sources of far-1: in belongs to near already",
        ),
        (
            [*PROFILES, "storage.profiles[1].bucket=videos", "storage.default=far-1"],
            "storage.default: far-1 is for copies only, its bucket is that of near",
        ),
        ([*PROFILES, "storage.profiles[0].cdn.secret="], "the CDN of near has a keyPairId, but no secret"),
        ([WORK, "capacity.otherwise.floor=9"], "capacity: floor 9 is above ceiling 6"),
        ([*SERVICE, "controllerName=example.com/second"], "RenderJobs of the service name no controller"),
        ([WORK, "operator.env.CONTROLLER_NAME=a/b"], "operator.env.CONTROLLER_NAME: set controllerName instead"),
        ([WORK, "controllerName=second"], "/controllerName"),
        ([WORK, "prices.enabled=true"], "prices.hourly or prices.otherwise is needed"),
        ([WORK, "capacity.inBelow=11"], "inBelow (11) is above outAbove (10)"),
        ([WORK, "capacity.windows[0].from=9"], "from"),
    ],
)  # fmt: skip
def test_values_that_do_not_go_together_are_refused_in_a_sentence(settings: list[str], words: str) -> None:
    done = helm_template(*settings)
    assert done.returncode != 0 and words in done.stderr, done.stderr


def test_every_time_zone_that_the_operator_knows_is_one_that_the_chart_takes() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    pattern = schema["properties"]["capacity"]["properties"]["timeZone"]["pattern"]
    zones = zoneinfo.available_timezones()
    assert len(zones) > 400 and not [zone for zone in zones if not re.search(pattern, zone)]


def test_all_that_is_wrong_is_said_at_once() -> None:
    said = helm_template("service.enabled=true", "service.httpRoute.enabled=true").stderr
    assert "work.uri" in said and "service.bucket" in said and "parentRefs" in said


@pytest.mark.parametrize(
    ("settings", "name"),
    [([], "ecg-render"), (["nameOverride=green"], "ecg-render-green"), (["fullnameOverride=captions"], "captions")],
)
def test_names_can_be_chosen_and_everything_that_uses_them_agrees(settings: list[str], name: str) -> None:
    found = objects(*SERVICE, *settings)
    for one in found:
        if one["kind"] not in ("CustomResourceDefinition",):
            assert name in one["metadata"]["name"], one["metadata"]["name"]
    accounts = {one["metadata"]["name"] for one in of_kind(found, "ServiceAccount")}
    assert {pod(found, part)["serviceAccountName"] for part in ("operator", "service")} <= accounts
    variables = {entry["name"]: entry.get("value") for entry in container(found)["env"]}
    rights = [rule for one in of_kind(found, "Role") for rule in one["rules"] if "leases" in rule["resources"]]
    assert [variables["LEASE_NAME"]] in [rule.get("resourceNames") for rule in rights]


@pytest.mark.parametrize("setting", ["fullnameOverride", "nameOverride"])
def test_a_long_name_is_cut_and_told_from_another_that_begins_alike(setting: str) -> None:
    def names(end: str) -> list[tuple[str, str]]:
        found = objects(*SERVICE, "networkPolicy.enabled=true", "capacity.enabled=true", f"{setting}={'a' * 60}{end}")
        own = [one for one in found if one["kind"] != "CustomResourceDefinition" and one["metadata"].get("namespace")]
        return sorted({(one["kind"], one["metadata"]["name"]) for one in own})

    found = names("b")
    assert len(found) > 15
    assert max(len(name) for kind, name in found if not kind.startswith("Role")) <= 63, "theirs may have 253"
    assert len(next(name for kind, name in found if kind == "Pod")) <= NAME_LENGTH, "helm test's RenderJob"
    assert not set(found) & set(names("c"))


def test_whole_numbers_are_written_out(tmp_path: Path) -> None:
    # Helm reads those of a file as floats, and prints 1000000 as 1e+06.
    def large(part: Json, value: object) -> object:
        part = schema["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if isinstance(value, dict):
            return {name: large(part.get("properties", {}).get(name, {}), below) for name, below in value.items()}
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (
            (min(part.get("maximum", 3_000_000), 3_000_000) if part.get("type") == "integer" else value)
            if whole
            else value
        )

    schema = json.loads((CHART / "values.schema.json").read_text())
    values = large(schema, yaml.safe_load((CHART / "values.yaml").read_text()))
    assert isinstance(values, dict)
    values["capacity"] |= {"windows": [], "otherwise": {"floor": 1, "ceiling": 2_000_000}, "inBelow": 1}
    values["capacity"]["warm"]["priority"] = -3_000_000
    values["resources"]["segment"] = {"cpu": 2_000_000, "memory": 3_000_000_000, "memoryLimit": 4_000_000_000}
    values["priorityClasses"] = {"big": {"value": 3_000_000}}
    (tmp_path / "values.yaml").write_text(json.dumps(values))
    given = (*SERVICE, "capacity.enabled=true", "service.autoscaling.enabled=true", "networkPolicy.enabled=true")
    done = helm_template(*given, values=(tmp_path / "values.yaml",))
    assert done.returncode == 0, done.stderr
    assert re.findall(r".*\de\+\d.*", done.stdout) == []
    assert done.stdout.count("3000000") > 5


def test_a_digest_goes_before_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    found = objects(
        *SERVICE, f"operator.image.digest={digest}", "operator.image.tag=v1", f"renderer.image.digest={digest}"
    )
    for part in ("operator", "service"):
        assert container(found, part)["image"] == f"localhost/ecg-render-operator@{digest}"
    variables = {entry["name"]: entry.get("value") for entry in container(found)["env"]}
    assert variables["RENDERER_IMAGE"] == f"localhost/ecg-render-renderer@{digest}"


@pytest.mark.parametrize("part", ["operator", "service"])
def test_the_usual_knobs_of_pods_reach_them(part: str) -> None:
    found = objects(
        *SERVICE,
        f"{part}.podLabels.team=video",
        f"{part}.podAnnotations.note=x",
        f"{part}.extraEnv[0].name=SECRET",
        f"{part}.extraEnv[0].valueFrom.secretKeyRef.name=s",
        f"{part}.extraEnv[0].valueFrom.secretKeyRef.key=k",
        f"{part}.extraEnvFrom[0].configMapRef.name=c",
        f"{part}.extraVolumes[0].name=ca",
        f"{part}.extraVolumes[0].secret.secretName=ca",
        f"{part}.extraVolumeMounts[0].name=ca",
        f"{part}.extraVolumeMounts[0].mountPath=/ca",
        f"{part}.revisionHistoryLimit=7",
        "commonLabels.cost=captions",
    )
    (deployment,) = of_kind(found, "Deployment", f"ecg-render-{part}")
    template, only = deployment["spec"]["template"], container(found, part)
    assert deployment["spec"]["revisionHistoryLimit"] == 7
    assert template["metadata"]["labels"]["team"] == "video" and template["metadata"]["annotations"] == {"note": "x"}
    assert {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}} in only["env"]
    assert {"configMapRef": {"name": "c"}} in only["envFrom"]
    assert [mount["name"] for mount in only["volumeMounts"]] == ["scratch", "ca"]
    assert [volume["name"] for volume in template["spec"]["volumes"]] == ["scratch", "ca"]
    assert only["resources"]["requests"]["ephemeral-storage"] and only["resources"]["limits"]["ephemeral-storage"]
    spread = template["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(one["metadata"]["labels"].get("cost") == "captions" for one in found)


def test_people_get_rights_by_the_roles_that_they_have() -> None:
    roles = {one["metadata"]["name"]: one for one in of_kind(objects(WORK), "ClusterRole")}
    view, edit = roles["render-ecg-render-view"], roles["render-ecg-render-edit"]

    def aggregated(role: Json) -> set[str]:
        return set(re.findall(r"aggregate-to-(\w+)", str(role["metadata"]["labels"])))

    assert (aggregated(view), aggregated(edit)) == ({"view"}, {"edit", "admin"})
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert {"create", "patch", "delete"} <= set(edit["rules"][0]["verbs"])
    assert [
        rule["verbs"] for role in (view, edit) for rule in role["rules"] if "renderjobs/status" in rule["resources"]
    ] == [["get", "list", "watch"]] * 2


def test_workers_get_an_account_in_each_namespace_and_no_token() -> None:
    role = "arn:aws:iam::1:role/render"
    annotation = f"worker.serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn={role}"
    found = objects(WORK, "namespaces={a,b}", "worker.serviceAccount.create=true", annotation)
    accounts = of_kind(found, "ServiceAccount", "ecg-render-worker")
    assert {one["metadata"]["namespace"] for one in accounts} == {"a", "b"}
    assert all(one["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": role} for one in accounts)
    assert not any(one["automountServiceAccountToken"] for one in accounts)
    variables = {entry["name"]: entry.get("value") for entry in container(found)["env"]}
    assert variables["WORKER_SERVICE_ACCOUNT"] == "ecg-render-worker"


def test_the_service_is_reached_by_an_ingress_and_by_a_gateway_with_tls() -> None:
    found = objects(
        *SERVICE,
        "service.ingress.enabled=true", "service.ingress.className=alb", "service.ingress.hosts={r.example.com}",
        "service.ingress.tls[0].secretName=cert", "service.ingress.tls[0].hosts={r.example.com}",
        "service.httpRoute.enabled=true", "service.httpRoute.parentRefs[0].name=gw",
        "service.httpRoute.hostnames={r.example.com}",
    )  # fmt: skip
    (ingress,), (route,) = of_kind(found, "Ingress"), of_kind(found, "HTTPRoute")
    assert ingress["spec"]["tls"] == [{"secretName": "cert", "hosts": ["r.example.com"]}]
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "ecg-render-service", "port": {"name": "http"}}
    assert route["spec"]["rules"][0]["backendRefs"] == [{"name": "ecg-render-service", "port": 8090}]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ([], None),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com}"], None),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com,b.example.com}",
          "service.ingress.tls[0].hosts={r.example.com}"], "https://r.example.com"),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com}", "service.ingress.path=/ecg",
          "service.ingress.tls[0].hosts={r.example.com}"], None),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com}",
          "service.ingress.tls[0].hosts={r.example.com}", "service.env.ECG_PUBLIC_URL=https://other.example.com"],
         "https://other.example.com"),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com}",
          "service.ingress.tls[0].secretName=cert", "service.extraEnv[0].name=ECG_PUBLIC_URL",
          "service.extraEnv[0].value=https://other.example.com"], "https://other.example.com"),
        (["service.ingress.enabled=true", "service.ingress.hosts={r.example.com,b.example.com}",
          "service.ingress.tls[0].hosts={b.example.com}"], None),
        (["service.ingress.enabled=true", "service.ingress.hosts={*.example.com}",
          "service.ingress.tls[0].secretName=cert"], None),
    ],
    ids=["no way in", "perhaps without TLS", "TLS", "below a path", "said", "a variable", "TLS of another", "any host"],
)  # fmt: skip
def test_links_begin_with_the_address_of_the_ingress_unless_another_is_said(
    settings: list[str], told: str | None
) -> None:
    env = container(objects(*SERVICE, *settings), "service")["env"]
    assert [one["value"] for one in env if one["name"] == "ECG_PUBLIC_URL"] == ([told] if told else [])


def test_an_autoscaler_takes_the_place_of_a_number() -> None:
    found = objects(*SERVICE, "service.autoscaling.enabled=true")
    (scaler,) = of_kind(found, "HorizontalPodAutoscaler")
    (deployment,) = of_kind(found, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    assert "replicas" not in deployment["spec"]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (2, 6)


@pytest.mark.parametrize(("kind", "field"), [("PodMonitor", "podMetricsEndpoints"), ("ServiceMonitor", "endpoints")])
def test_monitors_find_what_they_are_for(kind: str, field: str) -> None:
    settings = (
        "service.secret=s",
        "metrics.tokenKey=ECG_API_TOKEN",
        "metrics.labels.release=prom",
        f"metrics.monitor={kind}",
    )
    found = objects(*SERVICE, *settings)
    for part, port in (("operator", "health"), ("service", "http")):
        (monitor,) = of_kind(found, kind, f"ecg-render-{part}")
        (endpoint,) = monitor["spec"][field]
        assert endpoint["port"] == port and monitor["metadata"]["labels"]["release"] == "prom"
        assert ("authorization" in endpoint) is (part == "service")
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        targets = [one["metadata"] for one in of_kind(found, "Service")]
        if kind == "PodMonitor":
            targets = [one["spec"]["template"]["metadata"] for one in of_kind(found, "Deployment")]
        assert len([one for one in targets if wanted <= one["labels"].items()]) == 1
        assert port in [one["name"] for one in container(found, part)["ports"]]


def test_further_objects_may_use_templates(tmp_path: Path) -> None:
    more = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}}
    (tmp_path / "values.yaml").write_text(json.dumps({"extraObjects": [more]}))
    assert of_kind(objects(WORK, values=(tmp_path / "values.yaml",)), "ConfigMap", "ecg-render-more")


def test_the_values_name_no_setting_that_the_schema_does_not_know() -> None:
    # Closed all the way down: a typing error is never passed over.
    def open_objects(schema: Json, path: str) -> list[str]:
        below = [(f"{path}.{name}", part) for name, part in schema.get("properties", {}).items()]
        here = [path] if "properties" in schema and schema.get("additionalProperties") is not False else []
        return here + [one for at, part in below for one in open_objects(part, at)]

    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    assert open_objects(schema, "") == []


ADDED_TO = {"service.env"}
"""Maps with a default that one only adds to, or changes by name."""


def test_no_default_is_added_to_what_one_says_oneself() -> None:
    # Helm merges maps: of a selector, a table or labels that have a default, its entries would stay beside one's own.
    schema = json.loads((CHART / "values.schema.json").read_text())

    def defaults(part: Json, value: Json, path: str) -> Iterator[str]:
        part = schema["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if part.get("type") != "object" or not value:
            return
        if "properties" not in part and not path.endswith((".requests", ".limits")):
            yield path
        for name, below in part.get("properties", {}).items():
            yield from defaults(below, value.get(name), f"{path}.{name}".lstrip("."))

    assert set(defaults(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "")) == ADDED_TO


@pytest.mark.parametrize(
    ("file", "selector"),
    [
        ("values.yaml", {}),
        ("values-cpu.yaml", {}),
        ("values-prices-us-east-1.yaml", {}),
        ("values-eks-karpenter.yaml", {"karpenter.sh/capacity-type": "on-demand"}),
        ("values-eks-managed.yaml", {"ecg-render/capacity": "on-demand"}),
    ],
)
def test_a_rescue_asks_for_the_labels_that_nodes_of_that_kind_have_and_no_others(
    file: str, selector: dict[str, str]
) -> None:
    settings = {one["name"]: one.get("value", "") for one in
                container(objects(*SERVICE, "commonLabels.cluster=prod", values=(CHART / file,)))["env"]}  # fmt: skip
    assert dict(read_settings(settings).policy.on_demand_node_selector) == selector
    assert file in {one.name for one in CHART.glob("values*.yaml")}


def test_own_prices_and_labels_stand_alone() -> None:
    found = objects(WORK, "prices.enabled=true", "prices.currency=KRW", 'prices.hourly:={"a.large": "900"}',
                    "dashboards.enabled=true", "dashboards.labels.mine=yes")  # fmt: skip
    told = json.loads(next(one["value"] for one in container(found)["env"] if one["name"] == "PRICES"))
    assert told["hourly"] == {"a.large": "900"}
    labels = [
        one["metadata"]["labels"] for one in of_kind(found, "ConfigMap") if "dashboard" in one["metadata"]["name"]
    ]
    assert len(labels) == 3 and all(one["mine"] == "yes" and "grafana_dashboard" not in one for one in labels)


WITH_SERVICE = ("service.enabled=true", "service.bucket=videos")
MAY_BE_EMPTY = {
    *("resources", "resources.plan", "resources.segment", "resources.merge", "resources.clean"),
    *("operator.resources", "service.resources"),
}
NEEDED_WITH = {
    "capacity.warm": ("capacity.enabled=true",),
    "networkPolicy.workers": ("networkPolicy.enabled=true",),
    "networkPolicy.service": ("networkPolicy.enabled=true", *WITH_SERVICE),
    **{
        f"service.{part}": WITH_SERVICE
        for part in ("autoscaling", "podDisruptionBudget", "ingress", "httpRoute", "serviceAccount")
    },
}


def test_a_part_that_is_left_empty_is_refused_by_its_name() -> None:
    # `storage:` with nothing but comments below it: Helm takes that for null, and takes the defaults away.
    schema = json.loads((CHART / "values.schema.json").read_text())

    def parts(part: Json, values: Json, above: str = "") -> Iterator[tuple[str, bool]]:
        for name, value in values.items():
            below = part["properties"][name]
            below = schema["definitions"][below["$ref"].rpartition("/")[2]] if "$ref" in below else below
            if isinstance(value, dict) and "properties" in below:
                yield f"{above}{name}", name in part.get("required", [])
                yield from parts(below, value, f"{above}{name}.")

    found = list(parts(schema, yaml.safe_load((CHART / "values.yaml").read_text())))
    assert len(found) > 20
    assert {name for name, needed in found if not needed} == MAY_BE_EMPTY | NEEDED_WITH.keys()
    done = helm_template(WORK, "storage=null", "operator.image=null")
    assert done.returncode != 0
    assert "'storage'" in done.stderr and "'image'" in done.stderr, done.stderr


def test_lists_and_maps_may_be_left_empty_or_are_refused_by_name() -> None:
    def open_ones(value: Json, above: str = "") -> Iterator[str]:
        for name, below in value.items():
            if isinstance(below, list) or below == {} or f"{above}{name}" in ADDED_TO:
                yield f"{above}{name}"
            elif isinstance(below, dict):
                yield from open_ones(below, f"{above}{name}.")

    needed = {"monitoring", "privateRanges", "privateRangesV6", "service.from"}
    found = set(open_ones(yaml.safe_load((CHART / "values.yaml").read_text())))
    assert len(found) > 40 and found >= {f"networkPolicy.{name}" for name in needed} | {
        "operator.env",
        "alerts.disabled",
    }
    everything = (*SERVICE, "networkPolicy.enabled=true", "alerts.enabled=true", "capacity.enabled=true",
                  "admissionPolicy.enabled=true", "dashboards.enabled=true", "metrics.monitor=PodMonitor",
                  "priorityClasses.a.value=1")  # fmt: skip
    empty = {f"{name}=null" for name in found - {f"networkPolicy.{name}" for name in needed}}
    assert objects(*everything, *sorted(empty))
    for name in needed:
        done = helm_template(*everything, f"networkPolicy.{name}=null")
        assert done.returncode != 0 and f"missing property '{name.rpartition('.')[2]}'" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("route", "sentence"),
    [
        (("ingress.enabled=true", "ingress.hosts=null"), "service.ingress.hosts is needed"),
        (
            ("ingress.enabled=true", "ingress.hosts=null", "ingress.tls[0].hosts={a.example.com}"),
            "a.example.com, which is not in service.ingress.hosts",
        ),
        (("httpRoute.enabled=true", "httpRoute.parentRefs=null"), "service.httpRoute.parentRefs is needed"),
    ],
)
def test_an_empty_list_that_is_needed_is_told_by_a_sentence(route: tuple[str, ...], sentence: str) -> None:
    done = helm_template(*SERVICE, *(f"service.{setting}" for setting in route))
    assert done.returncode != 0 and sentence in done.stderr, done.stderr


def test_parts_that_nothing_is_made_of_may_be_empty() -> None:
    for names in (MAY_BE_EMPTY - {"resources"}, {"resources", *NEEDED_WITH}):
        assert objects(WORK, *(f"{name}=null" for name in sorted(names)))
    assert objects(
        WORK, *WITH_SERVICE, "service.resources=null", "networkPolicy.enabled=true", "operator.resources=null"
    )


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        *NEEDED_WITH.items(),
        ("resources", ("capacity.enabled=true",)),
        ("resources.segment", ("capacity.enabled=true",)),
    ],
)
def test_parts_that_something_is_made_of_may_not_be_empty(part: str, settings: tuple[str, ...]) -> None:
    done = helm_template(WORK, *settings, f"{part}=null")
    assert done.returncode != 0
    assert f"missing property '{part.rpartition('.')[2]}'" in done.stderr, done.stderr


@pytest.mark.parametrize(
    ("settings", "account"),
    [
        ([], "ecg-render-test"),
        (["worker.serviceAccount.create=true"], "ecg-render-worker"),
        (["worker.serviceAccount.name=s3"], "s3"),
    ],
)
def test_the_test_of_helm_runs_where_jobs_do_with_their_access_to_storage(settings: list[str], account: str) -> None:
    found = objects(WORK, "namespaces={videos}", "worker.secret=ecg-s3", *settings)
    (pod,) = of_kind(found, "Pod")
    (binding,) = of_kind(found, "RoleBinding", "ecg-render-test")
    (role,) = of_kind(found, "Role", "ecg-render-test")
    only = pod["spec"]["containers"][0]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert {one["metadata"]["namespace"] for one in (pod, binding, role)} == {"videos"}
    assert pod["spec"]["serviceAccountName"] == account == binding["subjects"][0]["name"]
    assert only["envFrom"] == [{"secretRef": {"name": "ecg-s3"}}]
    assert only["image"].startswith("localhost/ecg-render-renderer")
    assert [rule.get("resourceNames") for rule in role["rules"]] == [None, ["ecg-render-test"]]
    made = [one for one in of_kind(found, "ServiceAccount", account) if one["metadata"]["namespace"] == "videos"]
    assert len(made) == (0 if account == "s3" else 1)


def test_capacity_is_told_to_the_operator_in_words_that_it_reads() -> None:
    found = objects(WORK, "capacity.enabled=true", "capacity.inAfterSeconds=300")
    told = {one["name"]: one.get("value") for one in container(found)["env"]}
    schedule = read_settings({"RENDERER_IMAGE": "r", "WORK_URI": "s3://w", "CAPACITY": told["CAPACITY"]}).capacity
    assert schedule is not None and schedule.in_after_seconds == 300
    assert schedule.limits_at(datetime(2026, 12, 1, 3, tzinfo=UTC)) == schedule.windows[0]  # noon in Seoul
    (warm,) = of_kind(found, "Deployment", told["WARM_DEPLOYMENT"])
    assert "replicas" not in warm["spec"], "an upgrade would take away what the operator has set"


@pytest.mark.parametrize("gpus", [0, 1, 2])
def test_places_are_those_of_segments_with_a_gpu_where_placeholders_have_one(gpus: int) -> None:
    found = objects(WORK, "capacity.enabled=true", f"capacity.warm.gpus={gpus}")
    schedule = read_settings({one["name"]: one.get("value", "") for one in container(found)["env"]}).capacity
    assert schedule is not None and schedule.gpus == (gpus > 0)


def test_warm_places_ask_for_what_a_segment_asks_for_and_make_room_at_once() -> None:
    settings = (WORK, "capacity.enabled=true", "operator.env.GPU_RESOURCE=nvidia.com/gpu.shared")
    found = objects(*settings)
    spec = pod(found, "-warm")
    assert spec["terminationGracePeriodSeconds"] == 0
    assert {one["key"] for one in spec["tolerations"]} == {"nvidia.com/gpu", "nvidia.com/gpu.shared"}
    resources = container(found, "-warm")["resources"]
    told = read_settings({one["name"]: one.get("value", "") for one in container(found)["env"]})
    job = parse_render_job({
        "apiVersion": "render.ecg.dev/v1alpha1", "kind": "RenderJob", "metadata": {"name": "a", "namespace": "b"},
        "spec": {"source": {"uri": "s3://b/in"}, "scenario": {"uri": "s3://b/s"}, "output": {"uri": "s3://b/out"}},
    })  # fmt: skip
    segment = segment_job(Owner(Key("b", "a"), "u"), job, Round(0, (0,), 1), told.policy)
    asked = segment["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    assert resources["requests"] == asked == {"cpu": "2", "memory": "3Gi", "ephemeral-storage": "2Gi"}
    for size in ("", "7Gi"):
        other = objects(WORK, "capacity.enabled=true", f"operator.env.SCRATCH_REQUEST={size}")
        assert container(other, "-warm")["resources"]["requests"].get("ephemeral-storage", "") == size
    assert resources["limits"] == {"memory": "3Gi", "nvidia.com/gpu.shared": "1"}
    (priority,) = of_kind(found, "PriorityClass", spec["priorityClassName"])
    assert priority["value"] == -10 and priority["preemptionPolicy"] == "Never"
    assert "nvidia.com/gpu" not in str(
        container(objects(WORK, "capacity.enabled=true", "capacity.warm.gpus=0"), "-warm")
    )


def test_without_warm_places_only_the_limit_follows_the_clock() -> None:
    found = objects(WORK, "capacity.enabled=true", "capacity.warm.enabled=false")
    assert not of_kind(found, "PriorityClass") and len(of_kind(found, "Deployment")) == 1
    assert {"name": "WARM_DEPLOYMENT", "value": ""} in container(found)["env"]


def test_prices_are_told_to_the_operator_with_the_right_to_ask_for_nodes() -> None:
    found = objects(WORK, "namespaces={a}", values=(CHART / "values-prices-us-east-1.yaml",))
    told = {one["name"]: one.get("value") for one in container(found)["env"]}
    prices = read_settings({"RENDERER_IMAGE": "r", "WORK_URI": "s3://w", "PRICES": told["PRICES"]}).policy.prices
    assert prices is not None and str(prices.hourly["g6.2xlarge"]) == "0.978" and prices.otherwise is None
    (role,) = of_kind(found, "ClusterRole", "render-ecg-render-operator-nodes")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]}]
    assert not of_kind(objects(WORK, "namespaces={a}"), "ClusterRole", "render-ecg-render-operator-nodes")


def test_storage_profiles_and_cloudwatch_reach_operator_and_service_which_get_keys_from_secrets_alone() -> None:
    cloudwatch = ("cloudwatch.namespace=ECG/Render", "cloudwatch.dimensions.Cluster=ecg")
    found = objects(*PROFILES, *SERVICE, "storage.default=auto", *cloudwatch)
    operator, service = (
        {one["name"]: one for one in container(found, part)["env"]} for part in ("operator", "service")
    )
    assert not [name for name in operator if name.startswith("ECG_STORAGE_") and "valueFrom" in operator[name]]
    settings = read_settings({name: one["value"] for name, one in operator.items() if "value" in one})
    assert [one.name for one in settings.policy.storage.root] == ["near", "far-1"]
    read = Settings.from_environment({name: one["value"] for name, one in service.items() if "value" in one})
    assert (read.cloudwatch_namespace, read.cloudwatch_dimensions) == ("ECG/Render", {"Cluster": "ecg"})
    assert read.storage_profile == "auto" and read.storage_profiles == settings.policy.storage
    keys = {name: one["valueFrom"]["secretKeyRef"] for name, one in service.items() if name.startswith("ECG_STORAGE_")
            and "valueFrom" in one}  # fmt: skip
    assert keys["ECG_STORAGE_NEAR_CDN_PRIVATE_KEY"] == {"name": "cdn", "key": "CDN_PRIVATE_KEY"}
    far = {"name": "far-keys", "key": "AWS_ACCESS_KEY_ID", "optional": True}
    assert keys["ECG_STORAGE_FAR_1_ACCESS_KEY_ID"] == far and len(keys) == 7
    (test,) = of_kind(found, "Pod")
    env = test["spec"]["containers"][0]["env"]
    assert [one for one in env if "valueFrom" in one] == key_references(settings.policy.storage)
    assert {one["name"] for one in env if "value" in one} >= {"ECG_STORAGE_PROFILES"}


def test_the_notes_tell_what_a_newcomer_would_stumble_over(tmp_path: Path) -> None:
    copy = shutil.copytree(CHART, tmp_path / "chart")
    (copy / "templates/notes.yaml").write_text(
        'kind: Notes\nmetadata: {name: notes}\nsaid: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
    )

    def notes(*settings: str) -> str:
        (one,) = of_kind(objects(*settings, chart=copy), "Notes")
        return str(one["said"])

    local = "operator.image.repository and renderer.image.repository lead to images that only a node has"
    bare = notes(WORK)
    assert local in bare and "The HTTP service is not installed" in bare and "only storage that needs no cred" in bare
    images = ("operator.image.repository=r.example/o", "renderer.image.repository=r.example/r")
    keys = notes(*SERVICE, *images, "worker.secret=keys", "worker.serviceAccount.create=true", "namespaces={render,b}")
    assert local not in keys and "is not installed" not in keys
    assert "Keys in the Secret keys (worker.secret) go before that role." in keys
    assert "kubectl -n render create secret generic keys" in keys
    lasting = "links to videos in callbacks are signed by its credentials"
    assert lasting in keys and lasting not in bare
    assert lasting not in notes(*SERVICE, "service.env.ECG_PUBLIC_URL=https://r.example.com")
    second = "WARNING: where another release owns the CRD, both operators take the same RenderJobs"
    assert second in notes(WORK, "crds.install=false") and second not in bare
    assert not [
        one for one in ("namespaces={a}", "controllerName=a/b") if second in notes(WORK, "crds.install=false", one)
    ]
    everywhere = ("networkPolicy.enabled=true", "worker.serviceAccount.create=true")
    warned = notes(WORK, *everywhere)
    assert (
        "WARNING: RenderJobs are taken from all namespaces, and those other than render have no NetworkPolicy" in warned
    )
    assert "and no ServiceAccount ecg-render-worker: their pods are refused" in warned
    assert "from all namespaces" not in bare + notes(WORK, *everywhere, "namespaces={a,b}")
    far = ("storage.profiles[0].endpoint=http://minio.s3:9000", "networkPolicy.enabled=true", "namespaces={render,b}")
    placed = notes(*PROFILES, *SERVICE, *far)
    assert "need the Secrets keys, far-keys with" in placed and "in each of: render, b; and, for the" in placed
    assert "the CDN of near with the entry CDN_PRIVATE_KEY of the Secret cdn in " in placed
    rights = notes(*PROFILES, *SERVICE, "storage.profiles[1].secret=", "cloudwatch.namespace=ECG/Render")
    assert "s3:GetObject and s3:PutObject on videos, copies for" in rights and "cloudwatch:PutMetricData" in rights
    assert "Where that is not http://minio.s3:9000, networkPolicy.workers.egress and" in placed


def test_no_more_segments_become_pods_than_karpenter_may_bring_gpus_for() -> None:
    found = objects(*SERVICE, "commonLabels.cluster=prod", values=(CHART / "values-eks-karpenter.yaml",))
    gpus = sum(int(pool["spec"]["limits"]["nvidia.com/gpu"]) for pool in of_kind(found, "NodePool"))
    given = {one["name"]: one.get("value") for one in container(found)["env"]}
    assert given["MAX_ACTIVE_SEGMENTS"] == str(gpus), "the rest waits where no deadline runs"
