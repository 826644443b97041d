"""`python -m ecg_operator`: the operator's command line."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from ecg_cluster.client import load_connection
from ecg_cluster.errors import NoCluster
from ecg_operator.app import Operator, Options
from ecg_operator.errors import OperatorError, SettingsProblem
from ecg_operator.logs import set_up_logs
from ecg_operator.settings import VARIABLES, Settings, read_settings

log = logging.getLogger("ecg_operator")

NO_CLUSTER = 69
INTERNAL_ERROR = 70

_ABOUT = """\
Turns RenderJobs into Kubernetes Jobs that plan, render and merge, and keeps the truth in their status.

In a cluster it needs no options. On your own machine, against the cluster of your kubeconfig:

    export RENDERER_IMAGE=registry/ecg-renderer:1 WORK_URI=s3://bucket/work
    python -m ecg_operator --dev --namespace demo
    kubectl --namespace demo apply --filename renderjob.yaml
    kubectl --namespace demo get renderjobs --watch
"""
_AFTER = """\
exit codes:
  0   stopped by a signal
  2   the command line is wrong
  69  no way to reach a cluster
  70  something that should not happen; the log says what
  75  the Lease is lost: another replica acts now; Kubernetes starts this one again
  78  an environment variable is missing or wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator until it is told to stop; return the exit code."""
    given = _parser().parse_args(arguments)
    try:
        settings = _settings(given)
    except SettingsProblem as problem:
        for line in problem.problems:
            print(f"ecg-operator: {line}", file=sys.stderr)  # noqa: T201 - there is no log yet
        print("ecg-operator: `python -m ecg_operator --help` lists all variables", file=sys.stderr)  # noqa: T201
        return problem.exit_code
    set_up_logs(settings.log_format, settings.log_level)
    try:
        asyncio.run(_run(settings, given.kubeconfig, Options(elects=not given.dev)))
    except NoCluster as error:
        log.error("%s. Give --kubeconfig FILE.", error)
        return NO_CLUSTER
    except OperatorError as error:
        log.error("%s", error)
        return error.exit_code
    except OSError as error:
        log.error("port %d cannot be served: %s; set HEALTH_PORT", settings.health_port, error)
        return INTERNAL_ERROR
    except Exception:
        log.exception("the operator has failed")
        return INTERNAL_ERROR
    log.info("stopped")
    return 0


async def _run(settings: Settings, kubeconfig: str | None, options: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await Operator(settings, await load_connection(kubeconfig), options).run(stop)


def _settings(given: argparse.Namespace) -> Settings:
    settings = read_settings(os.environ)
    return replace(settings, namespaces=tuple(given.namespace)) if given.namespace else settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ecg_operator",
        description=_ABOUT,
        epilog=f"{_variables()}\n{_AFTER}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--namespace",
        action="append",
        metavar="NAME",
        help="serve this namespace only; may be given more than once (OPERATOR_NAMESPACES; neither: all namespaces)",
    )
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        help="how to reach the cluster (default: $KUBECONFIG, the pod's service account, ~/.kube/config)",
    )
    parser.add_argument(
        "--dev",
        action="store_true",
        help="for your own machine: no leader election; make sure that no other operator serves the same namespaces",
    )
    return parser


def _variables() -> str:
    lines = ["environment variables (docs/operations.md says more):"]
    for variable in VARIABLES:
        default = "must be set" if variable.default is None else f"default: {variable.default or 'empty'}"
        lines.append(f"  {variable.name}\n      {variable.meaning} ({default})")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
