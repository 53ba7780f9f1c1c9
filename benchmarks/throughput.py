"""Images a second of `latentbeam score` beside a plain loop over the SavedModel.

Both score the same images; start-up cancels in the difference between two sizes (marginal cost).
Usage: python -m benchmarks.throughput [--model ae|dae|vae] [--repeats N]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_SIZES = (20_000, 120_000)
_SHAPE = (28, 28)
_SCORE = """
import resource, sys, time
from pipelines.score import score
started = time.monotonic()
score([sys.argv[1]], sys.argv[2], sys.argv[3], overwrite=True)
print(time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
_LOOP = """
import resource, sys, time
from pathlib import Path
import numpy as np, tensorflow as tf
started = time.monotonic()
score = tf.saved_model.load(str(Path(sys.argv[2]) / "scoring")).signatures["score"]
images = np.load(sys.argv[1].partition("#")[0])["x"][..., None]
for start in range(0, len(images), 256):
    outputs = score(pixels=tf.constant(images[start:start + 256]))
    {name: value.numpy() for name, value in outputs.items()}
print(time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def main() -> None:
    """Prints one JSON object with images a second of each, their ratio and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=["ae", "dae", "vae"], default="ae")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = {size: _write_images(folder / f"{size}.npz", size) for size in _SIZES}
        _train(inputs[_SIZES[0]], options.model, folder / "bundle")
        runs = {"score": _SCORE, "loop": _LOOP}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        memory: dict[str, dict[int, float]] = {name: {} for name in runs}
        for _ in range(options.repeats):
            for program, code in runs.items():  # in turn: the machine's load changes
                measured = {
                    size: _run(code, uri, folder / "bundle", folder / "run")
                    for size, uri in inputs.items()
                }
                seconds[program].append(measured[_SIZES[1]][0] - measured[_SIZES[0]][0])
                memory[program] |= {size: peak for size, (_, peak) in measured.items()}
    _report(options.model, seconds, memory)


def _write_images(path: Path, count: int) -> str:
    generator = np.random.default_rng(0)
    np.savez(path, x=generator.integers(0, 256, (count, *_SHAPE), dtype=np.uint8))
    return str(path)


def _train(uri: str, kind: str, bundle: Path) -> None:
    command = ["train", "--input", uri, "--model", kind, "--output", str(bundle), "--epochs", "1"]
    subprocess.run([sys.executable, "-m", "pipelines.cli", *command], check=True)


def _run(code: str, uri: str, bundle: Path, output: Path) -> tuple[float, float]:
    """Seconds and peak MiB of a fresh process."""
    command = [sys.executable, "-c", code, uri, str(bundle), str(output)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, kilobytes = result.stdout.split()[-2:]
    return float(seconds), int(kilobytes) / 1024


def _report(
    kind: str, seconds: dict[str, list[float]], memory: dict[str, dict[int, float]]
) -> None:
    images = _SIZES[1] - _SIZES[0]
    rate = {name: images / statistics.median(values) for name, values in seconds.items()}
    print(
        json.dumps(
            {
                "model": kind,
                "measured": time.strftime("%Y-%m-%d"),
                "images_per_second": {name: round(value) for name, value in rate.items()},
                "ratio": round(rate["score"] / rate["loop"], 3),
                "peak_mebibytes": {
                    name: {str(size): round(peak) for size, peak in peaks.items()}
                    for name, peaks in memory.items()
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
