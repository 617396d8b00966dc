"""The places where arrays are, and what is stored there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: What is no chunk below an array's folder.
DOCUMENTS = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})


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
