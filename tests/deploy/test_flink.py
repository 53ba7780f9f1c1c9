"""The files of `deploy/flink` agree with each other and with what the engine tests run."""

import re
from typing import Any

import yaml

from deploy.local import flink_cluster
from tests.support.project import PROJECT

_DEPLOY = PROJECT / "deploy"
_FLINK = _DEPLOY / "flink"
_POOL_PORT = 50000


def _yaml(name: str) -> dict[str, Any]:
    return yaml.safe_load((_FLINK / name).read_text())


def _flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in mapping.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return flat


def _flink_version() -> str:
    pins = (_DEPLOY / "local" / "flink" / "distribution.txt").read_text()
    versions = set(re.findall(r"^apache-flink[a-z-]*==(\S+)", pins, re.MULTILINE))
    assert len(versions) == 1
    return versions.pop()


def test_all_run_the_flink_that_is_tested() -> None:
    version = _flink_version()
    short = version.rpartition(".")[0]
    pom = (_DEPLOY / "local" / "flink" / "pom.xml").read_text()
    assert f"<artifactId>beam-runners-flink-{short}</artifactId>" in pom
    deployment = _yaml("flinkdeployment.yaml")["spec"]
    assert deployment["flinkVersion"] == f"v{short.replace('.', '_')}"
    assert f"FROM flink:{version}-java17 AS flink" in (_FLINK / "Dockerfile").read_text()


def test_compose_and_kubernetes_run_the_same_images() -> None:
    services = _yaml("compose.yaml")["services"].values()
    images = {service["image"]: service["build"]["target"] for service in services}
    assert images == {f"latentbeam-{target}": target for target in images.values()}
    spec = _yaml("flinkdeployment.yaml")["spec"]
    containers = spec["taskManager"]["podTemplate"]["spec"]["containers"]
    assert {spec["image"], *(c["image"] for c in containers if "image" in c)} == {
        "latentbeam-flink",
        "latentbeam-workers",
    }


def test_the_image_leaves_out_the_jars_that_the_local_cluster_leaves_out() -> None:
    dockerfile = (_FLINK / "Dockerfile").read_text()
    assert re.findall(r"! -name '([\w-]+)\*'", dockerfile) == list(flink_cluster.FLINKS_OWN)


def test_kubernetes_has_the_same_configuration() -> None:
    """The operator sets memory through resources, and sets Java's options itself."""
    spec = _yaml("flinkdeployment.yaml")["spec"]
    expected = _flat(_yaml("config.yaml"))
    del expected["env.java.opts.all"]
    memory = {
        name: expected.pop(f"{name.lower()}.memory.process.size")
        for name in ("jobManager", "taskManager")
    }
    assert spec["flinkConfiguration"] == expected
    assert {name: spec[name]["resource"]["memory"] for name in memory} == memory


def test_each_task_manager_has_a_pool_in_its_network() -> None:
    services = _yaml("compose.yaml")["services"]
    managers = {name for name, s in services.items() if s.get("command") == "taskmanager"}
    pools = [s for s in services.values() if s.get("build", {}).get("target") == "workers"]
    assert sorted(pool["network_mode"] for pool in pools) == sorted(
        f"service:{name}" for name in managers
    )
    pod = _yaml("flinkdeployment.yaml")["spec"]["taskManager"]["podTemplate"]["spec"]
    (pool,) = (c for c in pod["containers"] if c["name"] == "workers")
    assert pool["ports"] == [{"containerPort": _POOL_PORT}]
    assert f"--port={_POOL_PORT}" in (_FLINK / "Dockerfile").read_text()


def test_the_images_are_built_of_files_that_are_there() -> None:
    dockerfile = (_FLINK / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM .* AS (\S+)", dockerfile, re.MULTILINE))
    built = {
        s["build"]["target"] for s in _yaml("compose.yaml")["services"].values() if "build" in s
    }
    assert built < targets
    for line in re.findall(r"^COPY (?!--from)(?:--chown=\S+ )?(.*)", dockerfile, re.MULTILINE):
        for path in line.split()[:-1]:
            assert (_DEPLOY.parent / path).exists(), path


def test_the_list_of_jars_is_as_sha256sum_reads_it() -> None:
    for engine in ("flink", "spark"):
        lines = (_DEPLOY / "local" / engine / "jars.sha256").read_text().splitlines()
        assert len(lines) > 100
        assert all(re.fullmatch(r"[0-9a-f]{64}  [\w.+-]+\.jar", line) for line in lines)
