"""What is written about the chart: its README says what values.yaml says, the guide to EKS can be followed."""

from __future__ import annotations

import importlib.util
import json
import re
import string
import subprocess
import sys
from pathlib import Path

import yaml

from chart import CHART, ROOT, Json, objects, of_kind
from ecg_api.running import Deadlines
from ecg_shim.backends.cluster.settings import ClusterSettings

MANAGED: Json = yaml.safe_load((CHART / "values-eks-managed.yaml").read_text())
GUIDE = (ROOT / "docs/eks.md").read_text()

SPEC = importlib.util.spec_from_file_location("chart_readme", CHART.parent / "readme.py")
assert SPEC and SPEC.loader
readme = sys.modules.setdefault("chart_readme", importlib.util.module_from_spec(SPEC))
SPEC.loader.exec_module(readme)


def test_the_readme_is_of_these_values() -> None:
    assert (CHART / "README.md").read_text() == readme.document(), "make manifests"


def test_a_value_is_told_with_its_path_default_and_words() -> None:
    text = "# Head.\na:\n  # -- Says | this\n  # and that.\n  b: [1]\n  c: {}\n# -- Alone.\nd: x\n"
    told = readme.tables(text)
    assert '| `d` | `"x"` | Alone. |' in told
    assert "### a\n\nHead.\n\n" in told
    assert "| `a.b` | `[1]` | Says \\| this and that. |\n| `a.c` | `{}` |  |" in told


def test_the_values_of_the_guide_to_eks_are_accepted_with_the_file_that_it_names(tmp_path: Path) -> None:
    known = {
        "CLUSTER": "prod",
        "NAMESPACE": "render",
        "REGISTRY": "1.dkr.ecr.x.amazonaws.com",
        "BUCKET": "videos",
        "REGION": "x",
    }
    (text,) = re.findall(r"^cat > mine.yaml <<END\n(.*?)^END$", GUIDE, re.M | re.S)
    mine = yaml.safe_load(string.Template(text).substitute(known))
    (tmp_path / "mine.yaml").write_text(json.dumps(mine))
    found = objects(values=(CHART / "values-eks-karpenter.yaml", tmp_path / "mine.yaml"))
    # The accounts that get roles by their names.
    assert "for part in worker service; do" in GUIDE and "--service-account ecg-render-$part" in GUIDE
    assert {"ecg-render-worker", "ecg-render-service"} <= {
        one["metadata"]["name"] for one in of_kind(found, "ServiceAccount")
    }


def written(name: str) -> Json:
    """Return the YAML file that the guide writes under this name."""
    (text,) = re.findall(rf"^cat > {name} <<END\n(.*?)^END$", GUIDE, re.M | re.S)
    found: Json = yaml.safe_load(string.Template(text).safe_substitute())
    return found


def test_no_more_segments_become_pods_than_the_managed_groups_of_the_guide_have_places_for() -> None:
    groups = written("gpu.yaml")["managedNodeGroups"]
    sharing = yaml.safe_load(written("device-plugin.yaml")["config"]["map"]["shared"])
    (shared,) = sharing["sharing"]["timeSlicing"]["resources"]
    nodes = sum(group["maxSize"] for group in groups)
    assert MANAGED["limits"]["activeSegments"] == nodes * shared["replicas"] > 0


def test_a_managed_group_on_demand_takes_what_lost_its_spot_nodes_and_renders_tolerate_it() -> None:
    groups = written("gpu.yaml")["managedNodeGroups"]
    wanted = MANAGED["onDemandNodeSelector"].items()
    assert {group["name"]: wanted <= group["labels"].items() for group in groups} == {
        group["name"]: not group["spot"] for group in groups
    }
    assert {group["spot"] for group in groups} == {True, False}
    for group in groups:
        # What NVIDIA's device plugin looks for on a node, and all that a segment with a GPU tolerates.
        assert group["labels"]["nvidia.com/gpu.present"] == "true"
        assert [taint["key"] for taint in group["taints"]] == ["nvidia.com/gpu"]
        # Labels and taints of a group without nodes are known by its tags.
        assert group["propagateASGTags"] and not any("eks.amazonaws.com" in label for label in group["labels"])


def test_karpenters_nodes_wait_longer_than_a_job_lasts_that_says_nothing() -> None:
    given = ("work.uri=s3://b/w", "service.bucket=videos", "commonLabels.cluster=prod")
    pools = of_kind(objects(*given, values=(CHART / "values-eks-karpenter.yaml",)), "NodePool")
    waits = {pool["spec"]["template"]["spec"]["terminationGracePeriod"] for pool in pools}
    assert waits == {"1h"}
    assert (Deadlines().active_seconds, ClusterSettings("videos").active_seconds) == (25 * 60, 30 * 60)


def test_no_step_of_the_guide_makes_the_namespace_that_a_later_one_makes_and_labels() -> None:
    made = re.findall(r"kubectl create namespace (\S+)|-n (\S+) --create-namespace", GUIDE)
    assert sorted(one or other for one, other in made) == ["$NAMESPACE", "nvidia-device-plugin"]


def test_every_command_of_the_guide_is_one_for_a_shell_and_every_policy_is_json() -> None:
    for block in re.findall(r"^```\n(.*?)^```$", GUIDE, re.M | re.S):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stderr}\n{block}"
        for body in re.findall(r"^cat > \w+\.json <<END\n(.*?)^END$", block, re.M | re.S):
            json.loads(body)
        for body in re.findall(r"<<END\n((?:apiVersion).*?)^END$", block, re.M | re.S):
            yaml.safe_load(body)
