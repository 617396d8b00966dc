"""The floor's work in a cell, for each kind of operation."""

from typing import Any

from harness.cells import Cell
from harness.selections import Selection
from harness.stored import Data
from harness.trace import complete, document_trace, read_trace, write_trace

RAW = {"name": "raw"}


def operation_trace(cell: Cell, data: Data, selections: list[Selection]) -> dict[str, Any] | None:
    """What a floor does in `cell`, or None if it is not known."""
    if cell.store not in ("local", "memory"):
        return None
    codec = cell.array["codec"]
    objects = None
    match cell.operation["kind"]:
        case "read" | "read cold" | "threads":
            objects = read_trace(cell.array, data.stored, selections)
        case "arrays":
            objects = [
                each
                for name in data.names
                for each in read_trace(cell.array, data.stored / name, selections, name + "/")
            ]
        case "open" | "walk":
            objects = document_trace(data.stored, cell.array, data.names)
            codec = RAW
        case "write":
            if cell.operation["onto"] == "nothing" or complete(cell.array, selections):
                objects = write_trace(cell.array, selections)
        case "append":
            rows, extent = cell.operation["rows"], cell.array["shape"][0]
            terms = [[extent - rows, extent, 1], *([0, to, 1] for to in cell.array["shape"][1:])]
            appended: list[Selection] = [{"kind": "basic", "terms": terms}]
            if complete(cell.array, appended):
                objects = write_trace(cell.array, appended)
    if objects is None or (cell.changes and cell.content == "half missing"):
        return None
    itemsize = data.elements("values").itemsize
    return {"objects": objects, "codec": codec, "typesize": itemsize}


def sequential(cell: Cell, trace: dict[str, Any] | None) -> bool:
    """Whether requests of one part each follow each other."""
    if trace is None or cell.operation["kind"] not in ("read", "read cold"):
        return False
    return (
        all(len(each["parts"]) == 1 for each in trace["objects"])
        and isinstance(cell.operation.get("select"), dict)
        and next(iter(cell.operation["select"])) in ("each", "random chunks")
    )
