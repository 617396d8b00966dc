"""What an engine is to the worker."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from place import Folder, Place, document_key, encoded, write_files
from remote import Remote
from selections import Selection

Cell = Mapping[str, Any]
Read = Callable[[], Any]
Write = Callable[[np.ndarray], None]

#: Bytes of decoded chunks that an engine which can keep some may, where a cell has caches.
CACHE = 1 << 28

#: Operations that change an array.
WRITES = frozenset({"write", "append", "round trip"})


class NotOfferedError(Exception):
    """An engine does not do what a cell asks for, with the reason."""


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
        if self.cell["store"] == "remote":
            # Shared by the engines; whoever comes first brings it there.
            place = Remote(self.cell["service"], "stored")
            if not any(place.keys()):
                place.put(folder)
            return place
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
        place = self.own(folder)
        shutil.rmtree(folder)
        return place

    def own(self, folder: Path) -> Place:
        """A place of this engine alone that is not local, with what is stored in a folder."""
        if self.cell["store"] != "remote":
            return self.memory(folder)
        place = Remote(self.cell["service"], self.cell["service"]["scratch"])
        place.put(folder)
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
