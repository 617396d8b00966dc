"""What an engine is to the worker, and the places where arrays are."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from selections import Selection

Cell = Mapping[str, Any]
Read = Callable[[], Any]
Write = Callable[[np.ndarray], None]

#: What is no chunk below an array's folder.
DOCUMENTS = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})

#: Operations that change an array.
WRITES = frozenset({"write", "append", "round trip"})


class NotOfferedError(Exception):
    """An engine does not do what a cell asks for, with the reason."""


def document_key(document: Mapping[str, Any]) -> str:
    """Under which name an array's document is stored."""
    return "zarr.json" if document["zarr_format"] == 3 else ".zarray"


def encoded(document: Mapping[str, Any]) -> bytes:
    """A document as it is stored."""
    return json.dumps(document).encode()


def stored_files(folder: Path) -> dict[str, bytes]:
    """All objects below a folder, by key."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write_files(folder: Path, objects: Mapping[str, bytes]) -> None:
    """Writes objects as files below a folder."""
    for key, content in objects.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def is_document(key: str) -> bool:
    """Whether a key is that of a document."""
    return key.rpartition("/")[2] in DOCUMENTS


class Place:
    """Where an array is, or a group: what `Engine.open` is given."""

    def clear(self) -> None:
        """Removes everything but documents; open handles stay valid."""
        raise NotImplementedError

    def remember(self) -> None:
        """Keeps the present state for `recall`."""
        raise NotImplementedError

    def recall(self) -> None:
        """Restores the state that was remembered; arrays have to be opened again."""
        raise NotImplementedError

    def dump(self, folder: Path) -> None:
        """Writes everything as files below a folder."""
        raise NotImplementedError


class Folder(Place):
    """A folder of the local file system."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._kept = path.with_name(path.name + ".remembered")

    def clear(self) -> None:
        for path in self.path.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in DOCUMENTS:
                path.unlink()

    def remember(self) -> None:
        shutil.copytree(self.path, self._kept)

    def recall(self) -> None:
        shutil.rmtree(self.path)
        shutil.copytree(self._kept, self.path)

    def dump(self, folder: Path) -> None:
        if folder != self.path:
            raise ValueError(f"{self.path} is not {folder}")


class Engine:
    """Reads and writes arrays in one way; all settings of its process are made by `__init__`."""

    #: Whether a crash leaves more behind of a local write than with the other engines.
    weaker = False
    #: What is asked for now.
    cell: Cell

    def configure(self, cell: Cell) -> None:
        """Takes a cell on: makes the settings that depend on it.

        Raises `NotOfferedError` for what this engine has no way to do.
        """
        self.cell = cell

    @property
    def writes(self) -> bool:
        """Whether the cell is about changes."""
        return self.cell["operation"]["kind"] in WRITES

    @property
    def asks_for_sync(self) -> bool:
        """Whether the cell is about changes that are to be on the disk."""
        local = self.cell["store"] == "local"
        return self.writes and local and self.cell.get("durability") == "synced"

    def versions(self) -> dict[str, str]:
        """The versions of what this engine is made of."""
        raise NotImplementedError

    def source(self, folder: Path) -> Place:
        """The place with what is stored in a folder."""
        if self.cell["store"] == "local":
            return Folder(folder)
        return self.memory(folder)

    def target(
        self, document: Mapping[str, Any], folder: Path, stored: Path | None = None
    ) -> Place:
        """A place with nothing but an array's document, or a copy of what is stored elsewhere."""
        if stored:
            shutil.copytree(stored, folder)
        else:
            write_files(folder, {document_key(document): encoded(document)})
        if self.cell["store"] == "local":
            return Folder(folder)
        place = self.memory(folder)
        shutil.rmtree(folder)
        return place

    def memory(self, folder: Path) -> Place:
        """A place that is not local, with what is stored in a folder."""
        raise NotImplementedError

    def open(self, place: Place, path: str = "", *, writable: bool = False) -> Any:
        """Opens the array at a path of a place."""
        raise NotImplementedError

    def reader(self, array: Any, selection: Selection) -> Read:
        """What reads a selection into fresh memory."""
        raise NotImplementedError

    def reader_into(self, array: Any, selection: Selection, out: np.ndarray) -> Read:
        """What reads a selection into memory of the caller's."""
        raise NotImplementedError

    def writer(self, array: Any, selection: Selection) -> Write:
        """What writes a selection."""
        raise NotImplementedError

    def append(self, array: Any, rows: np.ndarray) -> None:
        """Makes an array longer along its first axis."""
        raise NotImplementedError

    def walk(self, place: Place) -> list[tuple[str, tuple[int, ...], np.dtype]]:
        """Visits all members below a group: each array's path, shape and type."""
        raise NotImplementedError

    def fallback(self) -> str | None:
        """Why another engine made calls since the last question, if one did."""
        return None
