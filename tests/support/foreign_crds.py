"""CRDs of others whose objects the chart makes, out of the Go modules in which their projects publish them."""

from __future__ import annotations

from pathlib import Path

from go_tools import module_folder

MONITORING = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
KARPENTER = "pkg/apis/crds/karpenter.{}.yaml"
SOURCES = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        [MONITORING.format(name) for name in ("podmonitors", "servicemonitors", "prometheusrules")],
    ),
    "sigs.k8s.io/gateway-api@v1.4.0": (
        "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
        ["config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"],
    ),
    "github.com/aws/karpenter-provider-aws@v1.14.1": (
        "h1:WGtIQTQcxpElYMdWfWuPwaF2+9muR+hYhPZsTtoY8Gs=",
        [KARPENTER.format(name) for name in ("sh_nodepools", "k8s.aws_ec2nodeclasses")],
    ),
}
"""By module and version: its digest, and the files."""


def crd_files() -> list[Path]:
    """Return the paths of all of them, fetched if they are not here yet."""
    return [module_folder(release, digest) / file for release, (digest, files) in SOURCES.items() for file in files]
