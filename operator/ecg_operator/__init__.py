"""The Kubernetes operator: turns RenderJobs into Jobs on GPU nodes and keeps the truth in their status."""
