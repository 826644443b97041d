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

from chart import CHART, ROOT, objects, of_kind

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


def test_no_more_segments_become_pods_than_the_managed_groups_of_the_guide_have_places_for() -> None:
    groups = [
        group
        for text in re.findall(r"^cat > \w+\.yaml <<END\n(.*?)^END$", GUIDE, re.M | re.S)
        for group in yaml.safe_load(string.Template(text).safe_substitute()).get("managedNodeGroups", ())
    ]
    file = CHART / "values-eks-managed.yaml"
    (sharing,) = of_kind(
        objects("work.uri=s3://b/w", "service.bucket=videos", values=(file,)), "ConfigMap", "ecg-render-device-plugin"
    )
    (shared,) = yaml.safe_load(sharing["data"]["shared"])["sharing"]["timeSlicing"]["resources"]
    nodes = sum(group["maxSize"] for group in groups if any("gpu" in taint["key"] for taint in group.get("taints", ())))
    assert yaml.safe_load(file.read_text())["limits"]["activeSegments"] == nodes * shared["replicas"] > 0


def test_every_command_of_the_guide_is_one_for_a_shell_and_every_policy_is_json() -> None:
    for block in re.findall(r"^```\n(.*?)^```$", GUIDE, re.M | re.S):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stderr}\n{block}"
        for body in re.findall(r"^cat > \w+\.json <<END\n(.*?)^END$", block, re.M | re.S):
            json.loads(body)
        for body in re.findall(r"<<END\n((?:apiVersion).*?)^END$", block, re.M | re.S):
            yaml.safe_load(body)
