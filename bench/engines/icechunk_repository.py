"""icechunk: zarr-python over a store with transactions, which keeps a format of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import icechunk
import numpy as np
import zarr
from engine import Cell, Engine, NotOfferedError, Write
from place import Place, document_key, encoded, is_document, stored_files
from selections import Selection
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from zarr_python import BATCHED, FUSED, ZarrPython

_BRANCH = "main"


class _Repository(Place):
    """A repository below a prefix of an S3 service, with one array.

    icechunk writes it, as its format is no one else's.
    """

    def __init__(self, service: Mapping[str, Any], prefix: str, concurrency: int) -> None:
        options = service["options"]
        storage = icechunk.s3_storage(
            bucket=service["bucket"],
            prefix=prefix,
            endpoint_url=service["endpoint"],
            region=options["region"],
            access_key_id=options["access_key_id"],
            secret_access_key=options["secret_access_key"],
            allow_http=True,
            force_path_style=True,
        )
        config = icechunk.RepositoryConfig.default()
        if concurrency:
            config.max_concurrent_requests = concurrency
        self.repository = icechunk.Repository.create(storage, config=config)

    def fill(self, document: Mapping[str, Any], values: np.ndarray | None) -> None:
        """Stores an array's document, and its elements."""
        key, content = document_key(document), encoded(document)
        session = self.repository.writable_session(_BRANCH)
        buffer = default_buffer_prototype().buffer.from_bytes(content)
        sync(session.store.set(key, buffer))
        session.commit("the document")
        #: What there is but chunks.
        self.empty = self.repository.lookup_branch(_BRANCH)
        if values is not None:
            session = self.repository.writable_session(_BRANCH)
            zarr.open_array(session.store, mode="r+")[...] = values
            session.commit("the elements")

    def begin(self) -> None:
        """Opens a transaction, with the array in it."""
        self.session = self.repository.writable_session(_BRANCH)
        self.array = zarr.open_array(self.session.store, mode="r+")

    def clear(self) -> None:
        self.repository.reset_branch(_BRANCH, self.empty)
        self.begin()

    def reading(self) -> zarr.Array:
        """The array as it was committed last."""
        return zarr.open_array(self.repository.readonly_session(_BRANCH).store, mode="r")

    def dump(self, folder: Path) -> None:
        found = self.reading()
        folder.mkdir(parents=True, exist_ok=True)
        document = encoded(found.metadata.to_dict())
        (folder / "zarr.json").write_bytes(document)
        zarr.open_array(folder, mode="r+")[...] = found[...]


class Icechunk(ZarrPython):
    """zarr-python over icechunk; a write is committed before its call ends."""

    packages = ("icechunk", "zarr", "numcodecs", "numpy")

    def configure(self, cell: Cell) -> None:
        if cell["store"] != "remote":
            raise NotOfferedError("this row is about remote stores")
        if cell["array"]["format"] != 3:
            raise NotOfferedError("icechunk has version 3 only")
        super().configure(cell)

    def source(self, folder: Path) -> Place:
        return self._repository(folder)

    def own(self, folder: Path) -> Place:
        place = self._repository(folder)
        place.begin()
        return place

    def _repository(self, folder: Path) -> _Repository:
        """A repository with the array that is stored in a folder."""
        service = self.cell["service"]
        place = _Repository(service, service["scratch"], self.cell.get("concurrency", 0))
        has_chunks = any(not is_document(key) for key in stored_files(folder))
        values = zarr.open_array(folder, mode="r")[...] if has_chunks else None
        place.fill(self.cell["document"], values)
        return place

    def open(self, place: Any, path: str = "", *, writable: bool = False) -> Any:
        if path:
            raise NotOfferedError("this row is about an array by itself")
        # What is written to changes with each transaction.
        return place if writable else place.reading()

    def writer(self, array: Any, selection: Selection) -> Write:
        index, place = selection.index, array

        def write(values: np.ndarray) -> None:
            if place.session.read_only:
                # A transaction ends with its commit.
                place.begin()
            selection.within(place.array)[index] = values
            place.session.commit("a write")

        return write


def batched(workers: int) -> Engine:
    """icechunk with zarr-python's pipeline as it comes."""
    return Icechunk(BATCHED, workers)


def fused(workers: int) -> Engine:
    """icechunk with zarr-python's synchronous pipeline."""
    return Icechunk(FUSED, workers)
