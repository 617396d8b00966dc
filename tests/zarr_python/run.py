"""Runs zarr-python's own tests, from its source distribution, with fuzarr as the codec pipeline.

    run.py                arrays, indexing, codecs, pipelines, v2, properties, config
    run.py --all          everything
    run.py --accelerate   with `fuzarr.accelerate_zarr()`
    run.py --store NAME   arrays, indexing, codecs and the suite for pipelines, where they ask for a
                          store in memory, with another in its place: `latency`, `s3`, or `each`
    run.py --record       with zarr-python's FusedCodecPipeline: writes fused.json, or, with stores,
                          fused-NAME.json

Every test that passes with FusedCodecPipeline (fused.json says which do not) has to pass, but for
those that `bound.txt` names, each with its reason. What does not pass with FusedCodecPipeline over
another store, `stores.txt` names with the reason.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BENCH = ROOT / "bench"
TOOLS = ROOT / ".tools"
VERSION = "3.4.2"
SOURCES = TOOLS / f"zarr-{VERSION}"

# What may stand in the place of a store in memory, and how fuzarr is to serve most calls.
STORES = {"latency": "foreign", "s3": "native"}

# The tests that are run over each of them, beside the suite for pipelines.
OF_STORES = [
    "test_array.py",
    "test_codecs",
    "test_indexing.py",
    "test_unified_chunk_grid.py",
    "test_v2.py",
]

FIRST = [
    "test_api.py",
    "test_array.py",
    "test_codec_pipeline.py",
    "test_codec_pipeline_suite.py",
    "test_codecs",
    "test_config.py",
    "test_fastpath_equivalence.py",
    "test_indexing.py",
    "test_pipeline_parity.py",
    "test_properties.py",
    "test_regression",
    "test_resize.py",
    "test_unified_chunk_grid.py",
    "test_v2.py",
]


def fetch():
    """The unpacked source distribution."""
    if SOURCES.is_dir():
        return
    TOOLS.mkdir(exist_ok=True)
    archive = TOOLS / f"zarr-{VERSION}.tar.gz"
    if not archive.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--no-binary", "zarr"]
        subprocess.run([*command, f"zarr=={VERSION}", "-d", TOOLS], check=True)
    with tarfile.open(archive) as sources:
        sources.extractall(TOOLS, filter="data")


def rename():
    """Copies of the tests that name the fused pipeline, which name fuzarr's instead."""
    fused = '"zarr.core.codec_pipeline.FusedCodecPipeline"'
    copies = []
    for name in ("codec_pipeline_suite", "fastpath_equivalence", "pipeline_parity"):
        source = (SOURCES / "tests" / f"test_{name}.py").read_text()
        assert fused in source, name
        copy = SOURCES / "tests" / f"test_fuzarr_{name}.py"
        copy.write_text(source.replace(fused, '"fuzarr.FuzarrCodecPipeline"'))
        copies.append(f"tests/{copy.name}")
    return copies


def record_of(store):
    """The file that says what passes with FusedCodecPipeline."""
    return HERE / (f"fused-{store}.json" if store else "fused.json")


def selection(everything, store, pipeline):
    """The arguments that choose tests."""
    own = rename()
    if store is None:
        return ["tests"] if everything else [*own, *(f"tests/{name}" for name in FIRST)]
    suite = "fuzarr_codec_pipeline_suite" if "fuzarr" in pipeline else "codec_pipeline_suite"
    files = [f"tests/{name}" for name in (f"test_{suite}.py", *OF_STORES)]
    return ["-p", "fuzarr_stores", *files]


def run(pipeline, arguments, store=None, endpoint=""):
    """The outcome of every test, and the counts of calls with the reasons for fallbacks."""
    everything = arguments.all or (arguments.record and not store)
    chosen, processes = selection(everything, store, pipeline), arguments.processes
    options = (
        "-q -p no:cacheprovider -p fuzarr_counts --ignore tests/benchmarks --benchmark-disable"
    )
    command = [sys.executable, "-m", "pytest", *options.split(), "-n", str(processes)]
    # The options of the distribution's own configuration ask for plugins that are not needed.
    command += ["-o", "addopts=", "-o", "log_cli=false", "--tb=short", *chosen]
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ)
        environment["ZARR_CODEC_PIPELINE__PATH"] = pipeline
        if not arguments.all:
            # The same examples each time.
            environment.setdefault("HYPOTHESIS_PROFILE", "ci")
        places = [str(HERE), str(BENCH), os.environ.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(places)
        environment["FUZARR_COUNTS"] = folder
        environment["FUZARR_OUTCOMES"] = str(Path(folder) / "outcomes")
        if not arguments.record:
            expected = Path(folder) / "expected"
            expected.write_text(json.dumps(expected_failures(store)))
            environment["FUZARR_EXPECTED"] = str(expected)
        if arguments.accelerate:
            environment["FUZARR_ACCELERATE"] = "1"
        if store:
            environment["FUZARR_STORE"] = store
            environment["FUZARR_STORE_ENDPOINT"] = endpoint
        subprocess.run(command, cwd=SOURCES, env=environment, check=False)
        outcomes = json.loads((Path(folder) / "outcomes").read_text())
        counts, reasons = Counter(), Counter()
        for path in Path(folder).glob("*.json"):
            record = json.loads(path.read_text())
            counts.update(record["counts"])
            reasons.update(record["reasons"])
    return outcomes, counts, reasons


def record(outcomes, file):
    """Writes what does not pass, and how many do in each file."""
    files = {}
    for test, outcome in sorted(outcomes.items()):
        place, _, name = test.partition("::")
        if "test_fuzarr_" in place:
            continue
        entry = files.setdefault(place, {"passed": 0, "failed": []})
        if outcome == "failed":
            entry["failed"].append(name)
        entry["passed"] += outcome == "passed"
    file.write_text(json.dumps(files, indent=1) + "\n")


def named(list_of_tests):
    """How the names of tests start that a list names, without its reasons."""
    lines = (HERE / list_of_tests).read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith((" ", "#")))


def expected_failures(store):
    """How the names of tests start that are expected to fail."""
    known = json.loads(record_of(store).read_text())
    failed = [f"{file}::{name}" for file, found in known.items() for name in found["failed"]]
    copies = [test.replace("tests/test_", "tests/test_fuzarr_", 1) for test in failed]
    return [*failed, *copies, *named("bound.txt")]


def original(file):
    """The file that a copy was made of, or the same one."""
    return file.replace("test_fuzarr_", "test_")


def judge(outcomes, store):
    """What should have passed and did not."""
    known, left_out = json.loads(record_of(store).read_text()), named("bound.txt")
    problems, passed = [], Counter()
    for test, outcome in outcomes.items():
        file, _, name = test.partition("::")
        expected = name in known.get(original(file), {}).get("failed", [])
        if outcome == "failed" and not expected and not test.startswith(left_out):
            problems.append(f"{test} failed")
        passed[file] += outcome == "passed" or (outcome == "failed" and test.startswith(left_out))
    for file, count in passed.items():
        fused = known.get(original(file))
        # Where all tests were skipped, for want of a tool say, there is nothing to compare.
        if count and fused is None:
            problems.append(f"{file} is not on record")
        elif fused is not None and count < fused["passed"]:
            problems.append(f"{file}: {count} passed, {fused['passed']} with the fused one")
    return problems


def judge_store(store, outcomes, counts):
    """What else is wrong if another store stood in the place of one in memory."""
    known, explained = json.loads(record_of(store).read_text()), named("stores.txt")
    ran = {original(test.partition("::")[0]) for test in outcomes}
    problems = [f"{file} was not run" for file in known if file not in ran]
    for file, found in known.items():
        tests = (f"{file}::{name}" for name in found["failed"])
        problems += [f"{test} has no reason" for test in tests if not test.startswith(explained)]
    way = STORES[store]
    served = sum(count for name, count in counts.items() if name.endswith(way))
    if 2 * served < sum(counts.values()):
        problems.append(f"only {served} of {sum(counts.values())} calls were {way}")
    return problems


def try_store(store, endpoint, arguments):
    """Runs the tests, with a store in the place of one in memory or without, and says what came of
    it: how many problems there are."""
    if arguments.record:
        fused = "zarr.core.codec_pipeline.FusedCodecPipeline"
        record(run(fused, arguments, store, endpoint)[0], record_of(store))
        return 0
    outcomes, counts, reasons = run("fuzarr.FuzarrCodecPipeline", arguments, store, endpoint)
    print("\nCalls of the pipeline:" if store is None else f"\nCalls of the pipeline, {store}:")
    for name, count in counts.items():
        print(f"  {count:8} {name}")
    print("Left to zarr-python because of:")
    for reason, count in reasons.most_common(25):
        print(f"  {count:8} {reason[:110]}")
    problems = judge(outcomes, store)
    if store is not None:
        problems += judge_store(store, outcomes, counts)
    print(*problems, f"{len(outcomes)} tests, {len(problems)} problems", sep="\n")
    return len(problems)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--accelerate", action="store_true")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--store", choices=(*STORES, "each"))
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    fetch()
    if arguments.store is None:
        return bool(try_store(None, "", arguments))
    sys.path.insert(0, str(BENCH))
    from harness.server import test_server

    chosen = STORES if arguments.store == "each" else (arguments.store,)
    with test_server() as server:
        problems = [try_store(store, server.endpoint, arguments) for store in chosen]
    return any(problems)


if __name__ == "__main__":
    sys.exit(main())
