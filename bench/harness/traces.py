"""The floor's work in a cell, for each kind of operation."""

from typing import Any

from harness.cells import Cell
from harness.selections import Selection
from harness.stored import Data
from harness.trace import document_trace, read_trace, write_trace

RAW = {"name": "raw"}
WHOLE: Selection = {"kind": "whole"}


def operation_trace(cell: Cell, data: Data, selections: list[Selection]) -> dict[str, Any] | None:
    """What a floor does in `cell`, or None if waiting is all that counts."""
    if cell.store not in ("local", "memory"):
        return None
    codec = cell.array["codec"]
    match cell.operation["kind"]:
        case "read" | "read cold" | "threads":
            objects = read_trace(cell.array, data.stored, selections, caches=cell.caches)
        case "arrays":
            objects = [
                each
                for name in data.names
                for each in read_trace(cell.array, data.stored / name, selections, name + "/")
            ]
        case "open" | "walk":
            objects = document_trace(data.stored, cell.array, data.names)
            codec = RAW
        case "round trip":
            objects = write_trace(cell.array, data.stored, WHOLE)
        case "append":
            objects = write_trace(cell.array, data.stored, _last_rows(cell))
        case _:
            (selection,) = selections
            objects = write_trace(cell.array, data.stored, selection)
    itemsize = data.elements("values").itemsize
    return {"objects": objects, "codec": codec, "typesize": itemsize}


def _last_rows(cell: Cell) -> Selection:
    extent, *rest = cell.array["shape"]
    rows = [extent - cell.operation["rows"], extent, 1]
    return {"kind": "basic", "terms": [rows, *([0, to, 1] for to in rest)]}


def sequential(trace: dict[str, Any] | None, selections: list[Selection]) -> bool:
    """Whether each of the requests is about one part, so that threads have nothing to share."""
    objects = trace["objects"] if trace else []
    return len(objects) == len(selections) and all(len(each["parts"]) == 1 for each in objects)
