"""Who renders: processes of this machine, or a cluster."""
