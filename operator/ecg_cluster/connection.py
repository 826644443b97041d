"""How to reach the API server: by a kubeconfig, or as the service account of the pod that this runs in."""

from __future__ import annotations

import os
from pathlib import Path

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from ecg_cluster.errors import NoCluster

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CONNECTIONS = 64
"""Requests to the API server at a time; watches do not count."""


async def load_connection(kubeconfig: str | None = None) -> Configuration:
    """Return where the API server is and who we are.

    Taken from the file `kubeconfig`, else from $KUBECONFIG, the pod's service account or ~/.kube/config, whichever is
    there first. Raises NoCluster if none is, or if it cannot be read.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if not path and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path or None, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        place = path or "a pod's service account or ~/.kube/config"
        raise NoCluster(f"no cluster to work with: {place}: {error}") from error
    return configuration


def own_namespace() -> str:
    """Return the namespace of the pod that this runs in; `default` outside of one."""
    try:
        return _NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"
