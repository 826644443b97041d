"""The steps of a job that is rendered by many pods: what `ecg-render worker` runs.

plan      scenario, source ──> plan.json, scenario.json                    once, no GPU, no browser
segment   plan, scenario ────> segments/KEY-ENCODER.mp4 and its report     once for each segment, anywhere
merge     segments ──────────> the output; then the work files go          once
clean     the work files go                                                when a job ended early

assignment   what a pod is told, by its environment
scenarios    the plan pod's scenario: inline, by address, or a mounted ConfigMap entry
work         plan and scenario as work files, and back
claim        one encoder for the whole job, agreed on by the first segment pod
live         what a pod is doing, for /progress, /metrics and the log ──> served, on a port
reports      how a pod ended, for whoever started it
scratch      a folder for this pod alone
"""
