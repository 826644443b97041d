"""By alert: series that make it fire, and series that come close and do not. Values are promtool's, one a minute."""

from __future__ import annotations

GPU = 'exported_container="renderer",gpu="0",Hostname="n"'
Series = dict[str, str]

CASES: dict[str, tuple[list[Series], list[Series]]] = {
    "EcgQueueDepthHigh": (
        [
            {'ecg_render_queue_depth{namespace="a",pod="s"}': "51x70"},
            {'ecg_jobs{namespace="a",phase="Pending"}': "51x70"},
        ],
        [
            {'ecg_render_queue_depth{namespace="a",pod="s"}': "50x70"},
            {'ecg_jobs{namespace="a",phase="Rendering"}': "99x70"},
        ],
    ),
    "EcgFrameDropRateHigh": (
        [
            {'ecg_render_frame_drop_rate{namespace="a"}': "0.06x70"},
            {
                'ecg_frames_dropped_total{namespace="a"}': "0+60x70",
                'ecg_frames_rendered_total{namespace="a"}': "0+1000x70",
            },
        ],
        [
            {'ecg_render_frame_drop_rate{namespace="a"}': "0.05x70"},
            {
                'ecg_frames_dropped_total{namespace="a"}': "0+40x70",
                'ecg_frames_rendered_total{namespace="a"}': "0+1000x70",
            },
            {
                'ecg_frames_dropped_total{namespace="a"}': "0x70",
                'ecg_frames_rendered_total{namespace="a"}': "0x70",
            },
        ],
    ),
    "EcgJobsStuck": (
        [{'ecg_jobs{namespace="a",phase="Pending"}': "3x70", 'ecg_jobs{namespace="a",phase="Rendering"}': "0x70"}],
        [
            {'ecg_jobs{namespace="a",phase="Pending"}': "3x70", 'ecg_jobs{namespace="a",phase="Merging"}': "1x70"},
            {'ecg_jobs{namespace="a",phase="Pending"}': "0x70", 'ecg_jobs{namespace="a",phase="Rendering"}': "0x70"},
            {
                'ecg_jobs{namespace="a",phase="Pending"}': "3x12 0x60",
                'ecg_jobs{namespace="a",phase="Rendering"}': "0x12 0x60",
            },
        ],
    ),
    "EcgGpuTimeWasted": (
        [
            {
                'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+30x90",
                'ecg_gpu_seconds_total{namespace="a"}': "0+100x90",
            }
        ],
        [
            {
                'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+10x90",
                'ecg_gpu_seconds_total{namespace="a"}': "0+100x90",
            },
            {'ecg_wasted_gpu_seconds_total{namespace="a"}': "0+4x90", 'ecg_gpu_seconds_total{namespace="a"}': "0+5x90"},
        ],
    ),
    "EcgNoLeader": (
        [
            {'ecg_leader{namespace="a",pod="1"}': "0x70", 'ecg_leader{namespace="a",pod="2"}': "0x70"},
            # Two releases in one namespace: the other's leader is no help.
            {'ecg_leader{namespace="a",job="x",pod="1"}': "0x70", 'ecg_leader{namespace="a",job="y",pod="2"}': "1x70"},
        ],
        [{'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "0x70"}],
    ),
    "EcgTwoLeaders": (
        [{'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "1x70"}],
        [
            {'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="b",pod="2"}': "1x70"},
            {'ecg_leader{namespace="a",job="x",pod="1"}': "1x70", 'ecg_leader{namespace="a",job="y",pod="2"}': "1x70"},
            {'ecg_leader{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "0x66 1 0x9"},
        ],
    ),
    "EcgOperatorAbsent": ([{"up": "1x70"}], [{'ecg_build_info{version="1"}': "1x70"}]),
    "EcgReconcileStuck": (
        [{'ecg_queue_oldest_seconds{namespace="a"}': "121x70"}],
        [{'ecg_queue_oldest_seconds{namespace="a"}': "120x70"}],
    ),
    "EcgWatchSilent": (
        [
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="pods"}': "121x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="renderjobs"}': "901x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
        ],
        [
            {
                'ecg_watch_silence_seconds{namespace="a",pod="1",resource="renderjobs"}': "600x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
            # A replica that waits watches nothing.
            {
                'ecg_watch_silence_seconds{namespace="a",pod="2",resource="pods"}': "9999x70",
                'ecg_leader{namespace="a",pod="2"}': "0x70",
            },
        ],
    ),
    "EcgReconcileErrors": (
        [{'ecg_reconcile_errors_total{namespace="a",error="Forbidden"}': "0+10x70"}],
        [
            {'ecg_reconcile_errors_total{namespace="a",error="Forbidden"}': "0+1x70"},
            {'ecg_reconcile_errors_total{namespace="a",error="Conflict"}': "0+10x70"},
        ],
    ),
    "EcgNamespaceNotServed": (
        [{'ecg_unserved_namespaces{namespace="a",pod="1"}': "1x70", 'ecg_leader{namespace="a",pod="1"}': "1x70"}],
        [
            {'ecg_unserved_namespaces{namespace="a",pod="1"}': "0x70", 'ecg_leader{namespace="a",pod="1"}': "1x70"},
            {'ecg_unserved_namespaces{namespace="a",pod="2"}': "1x70", 'ecg_leader{namespace="a",pod="2"}': "0x70"},
        ],
    ),
    "EcgUnreadableObjects": (
        [
            {
                'ecg_unreadable_objects{namespace="a",pod="1",resource="pods"}': "1x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
        ],
        [
            {
                'ecg_unreadable_objects{namespace="a",pod="1",resource="pods"}': "0x70",
                'ecg_leader{namespace="a",pod="1"}': "1x70",
            },
            {
                'ecg_unreadable_objects{namespace="a",pod="2",resource="pods"}': "1x70",
                'ecg_leader{namespace="a",pod="2"}': "0x70",
            },
        ],
    ),
    "EcgWorkerHealthFailed": (
        [{'ecg_render_healthy{namespace="a",pod="1"}': "0x70", 'ecg_render_healthy{namespace="a",pod="2"}': "1x70"}],
        [{'ecg_render_healthy{namespace="a",pod="1"}': "1x69 0", 'ecg_render_healthy{namespace="a",pod="2"}': "1x70"}],
    ),
    "EcgResponseTimeHigh": (
        [
            {
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="3.0"}': "0+90x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="5.0"}': "0+100x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="+Inf"}': "0+100x70",
            }
        ],
        [
            {
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="3.0"}': "0+100x70",
                'ecg_render_request_duration_seconds_bucket{namespace="a",route="/render",le="+Inf"}': "0+100x70",
            },
            {
                f'ecg_render_request_duration_seconds_bucket{{namespace="a",route="{route}",le="{le}"}}': steps
                for route in ("/api/render/{job_id}/download", "/render")
                for le, steps in (("3.0", "0+10x70" if route == "/render" else "0x70"), ("+Inf", "0+10x70"))
            },
        ],
    ),
    "EcgCallbacksDead": (
        [
            {'ecg_callback_given_up_total{namespace="a"}': "0x60 1x10"},
            {'ecg_callback_dead_letters{namespace="a"}': "1x70"},
        ],
        [{'ecg_callback_given_up_total{namespace="a"}': "5x70", 'ecg_callback_dead_letters{namespace="a"}': "0x70"}],
    ),
    "EcgCallbackRejected": (
        [{'ecg_callback_rejected_total{namespace="a"}': "0x60 1x10"}],
        [{'ecg_callback_rejected_total{namespace="a"}': "7x70"}],
    ),
    "EcgGpuMemoryHigh": (
        [
            {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "91x70", f"DCGM_FI_DEV_FB_FREE{{{GPU}}}": "9x70"},
            {'DCGM_FI_DEV_FB_USED{container="renderer"}': "91x70", 'DCGM_FI_DEV_FB_FREE{container="renderer"}': "9x70"},
        ],
        [
            {f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "90x70", f"DCGM_FI_DEV_FB_FREE{{{GPU}}}": "10x70"},
            # Somebody else's model fills its GPU, as it should.
            {'DCGM_FI_DEV_FB_USED{container="llm"}': "99x70", 'DCGM_FI_DEV_FB_FREE{container="llm"}': "1x70"},
        ],
    ),
    "EcgNvencUnused": (
        [{f"DCGM_FI_DEV_ENC_UTIL{{{GPU}}}": "0x70"}],
        [{f"DCGM_FI_DEV_ENC_UTIL{{{GPU}}}": "0x60 4 0x9"}, {'DCGM_FI_DEV_ENC_UTIL{container="llm"}': "0x70"}],
    ),
    "EcgCpuHigh": (
        [
            {
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="1"}': "0+240x70",
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="2"}': "0+180x70",
                'machine_cpu_cores{node="n"}': "8x70",
            }
        ],
        [
            {
                'container_cpu_usage_seconds_total{container="renderer",node="n",pod="1"}': "0+380x70",
                'machine_cpu_cores{node="n"}': "8x70",
            }
        ],
    ),
    "EcgMemoryHigh": (
        [
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "86x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "100x70",
            },
            {
                'container_memory_working_set_bytes{container="operator",namespace="a",pod="p"}': "86x70",
                'container_spec_memory_limit_bytes{container="operator",namespace="a",pod="p"}': "100x70",
                'ecg_leader{namespace="a",pod="p"}': "1x70",
            },
        ],
        [
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "85x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "100x70",
            },
            # No limit is told as 0, and another project's operator is no business of ours.
            {
                'container_memory_working_set_bytes{container="renderer",namespace="a",pod="p"}': "85x70",
                'container_spec_memory_limit_bytes{container="renderer",namespace="a",pod="p"}': "0x70",
            },
            {
                'container_memory_working_set_bytes{container="operator",namespace="b",pod="p"}': "99x70",
                'container_spec_memory_limit_bytes{container="operator",namespace="b",pod="p"}': "100x70",
            },
        ],
    ),
}
