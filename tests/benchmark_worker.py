"""An engine for tests of the benchmark: answers from the values it is given, or misbehaves."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import zarr

from harness.selections import taken


def check(request):
    """Performs the operation, as simply as there is."""
    array, operation = request["cell"]["array"], request["cell"]["operation"]
    scratch, dtype = Path(request["scratch"]), array["dtype"]
    values = np.fromfile(request["values"], dtype).reshape(array["shape"])
    if operation["kind"] == "write":
        folder = scratch / "array"
        folder.mkdir()
        (folder / "zarr.json").write_text(json.dumps(request["cell"]["document"]))
        zarr.open_array(folder, mode="r+")[...] = values
    else:
        parts = [taken(values, selection).tobytes() for selection in operation["selections"]]
        (scratch / "result.bin").write_bytes(b"".join(parts))


def answer(name, opened, request):
    """The answer of the engine `name`."""
    match name, request["do"]:
        case "declines", "open":
            return {"not": "not today"}
        case "raises", "check":
            return {"error": "no"}
        case "dies", "turn":
            os._exit(3)
        case "is silent", "turn":
            time.sleep(60)
        case "is wrong", "check":
            check(opened)
            path = Path(opened["scratch"]) / "result.bin"
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
        case _, "check":
            check(opened)
        case _, "turn":
            return {"seconds": 1e-3 * request["calls"]}
        case _, "memory":
            return {"peak": 1_000_000, "calls": 1, "allocations": 5}
        case _, "versions":
            return {"versions": {name: "1"}}
    return {"ok": True}


def main():
    """Answers until there is nothing more to answer."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine")
    parser.add_argument("--workers")
    name, opened = parser.parse_args().engine, {}
    for line in sys.stdin:
        request = json.loads(line)
        opened = request if request["do"] == "open" else opened
        print(json.dumps(answer(name, opened, request)), flush=True)


if __name__ == "__main__":
    main()
