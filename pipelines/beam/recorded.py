"""Which of Beam's options a run records: results are shared, secrets must not be.

The list is closed. Any other name, from a later Beam or from another package, is assumed to hold a
secret. So are options whose values can contain one: addresses with a password, environments,
experiments, packages, labels.
"""

from collections.abc import Iterator, Mapping
from typing import Any

NOT_RECORDED = "not recorded"
RECORDED = frozenset(
    {
        "autoscaling_algorithm",
        "direct_num_workers",
        "direct_runner_bundle_repeat",
        "direct_runner_use_stacked_bundle",
        "direct_running_mode",
        "disk_size_gb",
        "disk_type",
        "dry_run",
        "element_processing_timeout_minutes",
        "environment_cache_millis",
        "environment_type",
        "flexrs_goal",
        "flink_submit_uber_jar",
        "flink_version",
        "job_server_timeout",
        "machine_type",
        "max_cache_memory_usage_mb",
        "max_num_workers",
        "max_parallelism",
        "min_cpu_platform",
        "no_auth",
        "no_wait_until_finish",
        "num_workers",
        "number_of_worker_harness_threads",
        "parallelism",
        "performance_runtime_type_check",
        "pickle_library",
        "pipeline_type_check",
        "prism_log_level",
        "profile_cpu",
        "profile_memory",
        "profile_sample_rate",
        "region",
        "resource_hints",
        "runner",
        "runtime_type_check",
        "s3_disable_ssl",
        "s3_region_name",
        "save_main_session",
        "sdk_worker_parallelism",
        "spark_submit_uber_jar",
        "spark_version",
        "streaming",
        "use_public_ips",
        "worker_region",
        "worker_zone",
        "zone",
    }
)


def recorded(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a ledger may contain them: values for those on the list; for the others only
    the names, with `NOT_RECORDED` in place of the value."""
    return {
        name: value if name in RECORDED and _is_json(value) else NOT_RECORDED
        for name, value in options.items()
    }


def hidden_values(options: Mapping[str, Any]) -> dict[str, str]:
    """The texts that `recorded` omits, each with the name of its option."""
    return {
        text: name
        for name, value in options.items()
        if name not in RECORDED
        for text in _texts(value)
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (bool, int, float, str))
