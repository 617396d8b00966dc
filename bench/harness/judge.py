"""Whether an engine's result is the right one."""

import json
from pathlib import Path

import numpy as np

from harness.cells import Cell
from harness.selections import Selection, assign, taken
from harness.stored import Data, read_back

#: Bytes that are compared at a time.
BLOCK = 1 << 24


def expected_result(cell: Cell, data: Data, selections: list[Selection]) -> list[np.ndarray] | None:
    """What a read gives, part after part; None for a walk, which gives no elements."""
    kind = cell.operation["kind"]
    if kind == "arrays":
        return [data.member(number) for number in range(cell.operation["count"])]
    if kind == "walk":
        return None
    values = data.elements("values")
    if kind == "open":
        # The first element is read, to see that what was opened is an array.
        return [values[(0,) * values.ndim]]
    return [taken(values, selection) for selection in selections]


def wrong_result(path: Path, expected: list[np.ndarray]) -> str | None:
    """What is wrong with the bytes in `path`, if anything is."""
    size = sum(part.nbytes for part in expected)
    if not path.exists():
        return "no result"
    if path.stat().st_size != size:
        return f"{path.stat().st_size} bytes, not {size}"
    if size == 0:
        return None
    found = np.memmap(path, "uint8", "r")
    at = 0
    for part in expected:
        flat = np.ascontiguousarray(part).reshape(-1).view("uint8")
        for start in range(0, len(flat), BLOCK):
            block = flat[start : start + BLOCK]
            if not np.array_equal(found[at + start : at + start + len(block)], block):
                return f"other bytes from byte {at + start} on, within {BLOCK}"
        at += len(flat)
    return None


def wrong_members(path: Path, data: Data) -> str | None:
    """What is wrong with the members listed in `path`, if anything is."""
    if not path.exists():
        return "no result"
    array = data.array
    expected = [[name, array["shape"], array["dtype"]] for name in data.names]
    found = json.loads(path.read_text())
    return None if found == expected else f"{len(found)} members, or others than were stored"


def wrong_array(
    folder: Path, cell: Cell, data: Data, selections: list[Selection], content: str = "values"
) -> str | None:
    """What is wrong with the array in `folder` after `content` was written, if anything is."""
    try:
        found = read_back(folder, cell.array)
    except Exception as error:
        return f"zarr-python cannot read it: {type(error).__name__}: {error}"
    # The protocol leaves open which rows are appended to be judged.
    contents = ("values", "other") if cell.operation["kind"] == "append" else (content,)
    for each in contents:
        if np.array_equal(found, expected_array(cell, data, selections, each)):
            return None
    return f"the array does not hold {content!r}"


def expected_array(cell: Cell, data: Data, selections: list[Selection], content: str) -> np.ndarray:
    """The array after `content` ("values" or "other") was written as the cell does."""
    kind = cell.operation["kind"]
    values, source = data.elements("values"), data.elements(content)
    if kind == "round trip":
        return values
    if kind == "append":
        rows = cell.operation["rows"]
        return np.concatenate([values[:-rows], source[-rows:]])
    if selections == [{"kind": "whole"}]:
        return source
    if cell.operation["onto"] == "stored":
        whole = np.array(values)
    else:
        whole = np.full(cell.array["shape"], cell.array["fill_value"], cell.array["dtype"])
    for selection in selections:
        assign(whole, selection, source)
    return whole
