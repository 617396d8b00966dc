"""fuzarr beside zarr-python in one process: natively, and as its codec pipeline.

    .venv/bin/python bench/python.py [--seconds 0.5] [--output bench/results/python.md]

Engines take turns of about 20 ms; medians in microseconds, with the ratio to zarr-python's fused
pipeline. What every engine reads is compared before it is timed.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import fuzarr
import numpy as np
import zarr
from zarr.core.config import config as zarr_config

PIPELINES = {
    "fused": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "batched": "zarr.core.codec_pipeline.BatchedCodecPipeline",
    "drop-in": "fuzarr.FuzarrCodecPipeline",
}
#: name: (elements, chunks, shards, compressors)
LAYOUTS = {
    "1000 chunks of 1 kB, raw": (1_000_000, 1000, None, None),
    "1000 chunks of 1 kB, zstd": (1_000_000, 1000, None, "auto"),
    "a shard of 1000 inner chunks of 1 kB, raw": (1_000_000, 1000, 1_000_000, None),
    "a shard of 10,000 inner chunks of 100 B, raw": (1_000_000, 100, 1_000_000, None),
    "10 chunks of 100 kB, zstd": (1_000_000, 100_000, None, "auto"),
}
#: About how long a turn takes, in seconds.
TURN = 0.02

SELECTIONS = {"whole": slice(None), "one element": 500_123}


def opened(store, pipeline):
    """The array as zarr-python opens it with a pipeline."""
    with zarr_config.set({"codec_pipeline.path": PIPELINES[pipeline]}):
        return zarr.open_array(store, mode="r+")


def accelerated(array):
    """The reading of an array with selections planned by fuzarr."""

    def read(selection):
        undo = fuzarr.accelerate_zarr()
        try:
            return array[selection]
        finally:
            undo()

    return read


def medians(engines, seconds):
    """The median time of a call for each engine, in microseconds; the engines take turns."""
    times = {name: [] for name in engines}
    # A turn is some calls: what an engine leaves in caches and on the heap is not the next one's to
    # clear away, and the clock does not count.
    rounds = {}
    for name, call in engines.items():
        call()
        start = time.perf_counter()
        call()
        rounds[name] = max(1, int(TURN / max(time.perf_counter() - start, 1e-7)))
    end = time.perf_counter() + seconds * len(engines)
    while time.perf_counter() < end or min(map(len, times.values())) < 5:
        for name, call in engines.items():
            start = time.perf_counter()
            for _ in range(rounds[name]):
                call()
            times[name].append((time.perf_counter() - start) / rounds[name] * 1e6)
    return {name: statistics.median(found) for name, found in times.items()}


def readers(place, kind):
    """How each engine reads the array at a place."""
    store = str(place) if kind == "local" else place
    if kind == "local":
        native = fuzarr.open_array(store, mode="r+")
        yield "fuzarr", native.__getitem__
    for name in PIPELINES:
        yield name, opened(store, name).__getitem__
    yield "drop-in, accelerated", accelerated(opened(store, "drop-in"))


def rows(seconds, folder):
    """The rows of the table."""
    values = np.random.default_rng(7).integers(1, 100, 1_000_000).astype("u1")
    for number, (layout, (size, chunks, shards, compressors)) in enumerate(LAYOUTS.items()):
        for kind in ("local", "memory"):
            place = folder / str(number) if kind == "local" else zarr.storage.MemoryStore()
            array = zarr.create_array(
                place, shape=size, chunks=chunks, shards=shards, dtype="u1", compressors=compressors
            )
            array[:] = values
            engines = dict(readers(place, kind))
            if kind == "memory":
                copy = fuzarr.create_array(
                    None,
                    shape=size,
                    chunks=chunks,
                    shards=shards,
                    dtype="u1",
                    compressors=compressors,
                )
                copy[:] = values
                engines = {"fuzarr": copy.__getitem__, **engines}
            for name, selection in SELECTIONS.items():
                for engine, read in engines.items():
                    assert np.array_equal(read(selection), values[selection]), engine
                calls = {
                    engine: (lambda read=read, selection=selection: read(selection))
                    for engine, read in engines.items()
                }
                yield layout, kind, name, medians(calls, seconds)


def main():
    """Prints the table, and writes it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    engines = ["fuzarr", *PIPELINES, "drop-in, accelerated"]
    lines = [
        "# fuzarr beside zarr-python",
        "",
        f"zarr-python {zarr.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores. Medians in microseconds;",
        "in brackets how many times as fast as the fused pipeline. Written by `bench/python.py`.",
        "",
        "| array | store | read | " + " | ".join(engines) + " |",
        "|---|---|---|" + "--:|" * len(engines),
    ]
    print("\n".join(lines))
    # In memory if there is such a folder: the disk is not what is compared.
    base = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        for layout, kind, name, times in rows(arguments.seconds, Path(folder)):
            cells = [
                f"{times[engine]:.1f} ({times['fused'] / times[engine]:.1f})" for engine in engines
            ]
            lines.append(f"| {layout} | {kind} | {name} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    if arguments.output:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
