"""The engines' components: fetched once with the packages' own clients, verified, and stored in the
user's cache folder."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam

CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "latentbeam" / "engines"
_HERE = Path(__file__).parent
_DRIVERS = {
    "flink": "org.apache.beam.runners.flink.FlinkJobServerDriver",
    "spark": "org.apache.beam.runners.spark.SparkJobServerDriver",
}
_PRISM = "github.com/apache/beam/sdks/v2/go/cmd/prism"


class FetchError(Exception):
    """A component of an engine could not be fetched, or is not the pinned one."""


def flink_home() -> Path:
    """Flink's distribution, of the version in `flink/distribution.txt`.

    Raises:
      FetchError: it cannot be fetched.
    """
    pins = _HERE / "flink" / "distribution.txt"
    return fetched("flink", pins.read_bytes(), lambda folder: _fetch_flink(pins, folder))


def pyspark_home() -> Path:
    """A folder to import PySpark from, of the version in `spark/pyspark.txt`, with Spark's jars and
    scripts; it needs Java.

    Raises:
      FetchError: it cannot be fetched.
    """
    pins = _HERE / "spark" / "pyspark.txt"
    return fetched("pyspark", pins.read_bytes(), lambda folder: _fetch_pyspark(pins, folder))


def job_server(engine: str) -> Path:
    """A jar that starts Beam's job server for "flink" or "spark", for `--flink_job_server_jar` and
    `--spark_job_server_jar`.

    It names the jars of its class path, which `pom.xml` requires and `jars.sha256` pins: Beam does
    not publish its single jars for the versions used here.

    Raises:
      FetchError: the jars cannot be fetched, or one is not the pinned one.
    """
    pom, sums = _HERE / engine / "pom.xml", _HERE / engine / "jars.sha256"
    folder = fetched(
        f"{engine}-job-server",
        pom.read_bytes() + sums.read_bytes(),
        lambda folder: _fetch_job_server(pom, sums, _DRIVERS[engine], folder),
    )
    return folder / "job-server.jar"


def prism() -> Path:
    """Beam's Prism, built from its Go module in the same version as the Python package; Go verifies
    modules with its checksum database.

    Raises:
      FetchError: it cannot be built.
    """
    module = f"{_PRISM}@v{beam.__version__}"
    folder = fetched(
        "prism",
        module.encode(),
        lambda folder: run_client(
            ["go", "install", module], env={**os.environ, "GOBIN": str(folder)}
        ),
    )
    return folder / "prism"


def fetched(name: str, pins: bytes, fetch: Callable[[Path], object]) -> Path:
    """The folder in the user's cache that `fetch` fills, or has filled earlier, for these pins.

    Raises:
      FetchError: raised by `fetch`.
    """
    folder = CACHE / f"{name}-{hashlib.sha256(pins).hexdigest()[:12]}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            partial = Path(work) / name
            partial.mkdir()
            print(f"fetching {name} ...", file=sys.stderr)
            fetch(partial)
            partial.rename(folder)
    return folder


def _fetch_flink(pins: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _download(pins, work)
        (libraries,) = Path(work).glob("*.tar.gz")
        (scripts,) = Path(work).glob("*.whl")
        with tarfile.open(libraries) as archive:
            archive.extractall(work, filter="data")
        with zipfile.ZipFile(scripts) as archive:
            archive.extractall(work)  # noqa: S202 - its checksum was verified
        (unpacked,) = Path(work).glob("apache-flink-libraries-*/deps")
        for part in ("lib", "plugins"):
            shutil.move(unpacked / part, folder / part)
        for part in ("bin", "conf"):
            shutil.move(Path(work) / "pyflink" / part, folder / part)
        shutil.move(unpacked / "bin" / "bash-java-utils.jar", folder / "bin")
    for script in (folder / "bin").iterdir():
        script.chmod(0o755)


def _fetch_pyspark(pins: Path, folder: Path) -> None:
    """Moves the parts of the source archive to where its `setup.py` would; no build is needed."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _download(pins, work)
        (source,) = Path(work).glob("*.tar.gz")
        with tarfile.open(source) as archive:
            archive.extractall(work, filter="data")
        (unpacked,) = Path(work).glob("pyspark-*/")
        shutil.move(unpacked / "pyspark", folder / "pyspark")
        for part in ("bin", "jars"):
            shutil.move(unpacked / "deps" / part, folder / "pyspark" / part)
        (py4j,) = unpacked.glob("lib/py4j-*-src.zip")
        with zipfile.ZipFile(py4j) as archive:
            archive.extractall(folder)  # noqa: S202 - its checksum was verified


def _download(pins: Path, folder: str) -> None:
    """Fetches the files that a list of requirements pins, as published."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    run_client([*pip, "--requirement", str(pins), "--dest", folder])


def _fetch_job_server(pom: Path, sums: Path, driver: str, folder: Path) -> None:
    jars = folder / "jars"
    maven = ["mvn", "--quiet", "--batch-mode", "--file", str(pom)]
    run_client([*maven, "dependency:copy-dependencies", f"-DoutputDirectory={jars}"])
    _check_sums(jars, sums)
    with zipfile.ZipFile(folder / "job-server.jar", "w") as archive:
        archive.writestr("META-INF/MANIFEST.MF", _manifest(driver, sorted(jars.iterdir())))


def _check_sums(jars: Path, sums: Path) -> None:
    """Raises FetchError unless the jars match the list, which is in the format of `sha256sum`."""
    lines = (line.split() for line in sums.read_text().splitlines())
    expected = {name: digest for digest, name in lines}
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in jars.iterdir()}
    if differ := {name for name, _ in expected.items() ^ found.items()}:
        raise FetchError(f"jars differ from {sums}: {', '.join(sorted(differ))}")


def _manifest(driver: str, jars: list[Path]) -> str:
    lines = [
        "Manifest-Version: 1.0",
        f"Main-Class: {driver}",
        f"Class-Path: {' '.join(f'jars/{jar.name}' for jar in jars)}",
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _folded(line: str) -> str:
    """Lines of at most 72 bytes; continuation lines start with a space (JAR specification)."""
    first, rest = line[:70], line[70:]
    return "\r\n ".join([first, *(rest[start : start + 69] for start in range(0, len(rest), 69))])


def run_client(command: list[str], env: dict[str, str] | None = None) -> str:
    """Runs a package client and returns its output.

    Raises:
      FetchError: the client is not installed, or fails.
    """
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    except OSError as error:
        raise FetchError(f"{command[0]} is needed; install it: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()
        raise FetchError(f"{' '.join(command[:4])} failed: {said[0] if said else 'no message'}")
    return done.stdout
