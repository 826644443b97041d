"""The steps of a job that is rendered by many pods: what `ecg-render worker` runs.

plan      scenario, source ──> plan.json, scenario.json                    once, no GPU
segment   plan, scenario ────> segments/KEY-ENCODER.mp4 and its report     once for each segment, anywhere
merge     segments ──────────> the output; then the work files go          once
clean     the work files go                                                when a job ended early

pod          what a pod is told, by its environment; a folder for it alone; how it ended, for whoever started it
work         plan, scenario, takes, the encoder that was agreed on, what there is to watch: as work files, and back
live         what a pod is doing, for /progress, /metrics and the log
"""
