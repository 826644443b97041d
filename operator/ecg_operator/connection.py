"""How to reach the API server: from a kubeconfig, or from the service account of the pod that this runs in."""

from __future__ import annotations

import os
from pathlib import Path

import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from ecg_operator.errors import NoCluster

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CONNECTIONS = 64
"""Requests to the API server at a time, watches included."""


async def load_connection(kubeconfig: str | None) -> Configuration:
    """Return where the API server is and who we are.

    Taken from the file `kubeconfig`, else from $KUBECONFIG, the pod's service account or ~/.kube/config,
    whichever is there first. Raises NoCluster if none is, or if it cannot be read.
    """
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    path = kubeconfig or os.environ.get("KUBECONFIG")
    try:
        if not path and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=path, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        place = path or "a pod's service account or ~/.kube/config"
        raise NoCluster(f"no cluster to work with: {place}: {error}. Give --kubeconfig FILE.") from error
    return configuration


def own_namespace() -> str:
    """Return the namespace of the pod that this runs in; `default` outside of one."""
    try:
        return _NAMESPACE_FILE.read_text().strip() or "default"
    except OSError:
        return "default"


async def for_kopf(configuration: Configuration) -> kopf.ConnectionInfo:
    """Return the same credentials for kopf, which has a client of its own."""
    header = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    scheme, _, token = (header or "").rpartition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
