"""What is stored before engines read, and what they have stored; by zarr-python."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.core.config import config

from harness.cells import Cell
from harness.contents import content
from harness.documents import GROUP, store_document

config.set({"codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline"})


class Data:
    """In a folder, the two contents of some cells' arrays, and the stored form that reads use."""

    def __init__(self, cell: Cell, folder: Path) -> None:
        self.array = cell.array
        self.content = cell.content
        self.folder = folder
        self.stored = folder / "stored"
        self.names = [""]
        kind = cell.operation["kind"]
        if kind == "arrays":
            self.names = [str(number) for number in range(cell.operation["count"])]
        elif kind == "walk":
            self.names = [f"member-{number:05}" for number in range(cell.operation["count"])]
        self.is_stored = False

    def path(self, which: str) -> Path:
        """The file of `values` or `other`, made when it is first asked for."""
        path = self.folder / f"{which}.bin"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            content(self.array, self.content, ["values", "other"].index(which)).tofile(path)
        return path

    def elements(self, which: str) -> np.ndarray:
        """`values` or `other`, not to be changed."""
        return np.memmap(
            self.path(which), self.array["dtype"], "r", shape=tuple(self.array["shape"])
        )

    def store(self) -> None:
        """Stores what reads use, once."""
        if self.is_stored:
            return
        if self.names != [""]:
            self.stored.mkdir(parents=True)
            (self.stored / "zarr.json").write_text(json.dumps(GROUP))
        for name in self.names:
            store_document(self.stored / name, self.array)
        # The arrays of a walk have nothing but documents.
        if len(self.names) <= 100:
            for number, name in enumerate(self.names):
                array = zarr.open_array(self.stored / name, mode="r+")
                array[...] = self.member(number)
        self.is_stored = True

    def member(self, number: int) -> np.ndarray:
        """The elements of one of several arrays."""
        if number == 0:
            return self.elements("values")
        return content(self.array, self.content, number)


def read_back(folder: Path, array: dict[str, Any]) -> np.ndarray:
    """The whole array in `folder`, as zarr-python reads it. Raises what it raises."""
    found = zarr.open_array(folder, mode="r")
    if found.shape != tuple(array["shape"]):
        raise ValueError(f"the shape is {found.shape}, not {tuple(array['shape'])}")
    return np.asarray(found[...])


def stored_bytes(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
