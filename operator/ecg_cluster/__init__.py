"""The API server of a cluster, for the operator and for the service: requests, watches, errors, and leadership."""
