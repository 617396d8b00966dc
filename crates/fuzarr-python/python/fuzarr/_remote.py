"""Remote stores of zarr-python as stores of fuzarr, where all of their settings carry over.

What a store does is decided by its class and by each of its settings. Only classes that are exactly
zarr-python's, obstore's and fsspec's own are taken, and only if every setting is known to mean the
same here: else the store is left to zarr-python. What carries over is a table in docs/remote.md.
"""

from __future__ import annotations

import os
import re
import sys
import weakref
from typing import Any, NamedTuple

from ._fuzarr import Store, config_list
from .errors import ArgumentError


class NotCarriedError(Exception):
    """A store that is left to zarr-python, with the reason."""


class Place(NamedTuple):
    """Where a store is, in fuzarr's terms."""

    #: As in ``s3://bucket/folder``.
    address: str
    #: Options by name.
    options: dict[str, str]
    #: Whether fuzarr writes as the store would.
    writable: bool = True

    def __repr__(self) -> str:
        return f"<Place {self.address}, {sorted(self.options)}>"


class Carried(NamedTuple):
    """A store of fuzarr that does what one of zarr-python's does."""

    store: Store
    place: Place


#: The environment as it was. What a store of another library took from it cannot be seen.
STARTED = dict(os.environ)


def check_environment(*starts: str) -> None:
    """Raises `NotCarriedError` if variables that start so have changed.

    A store may have read them before they did, and fuzarr's would read them now.
    """
    names = {name for name in {*os.environ, *STARTED} if name.startswith(starts)}
    for name in sorted(names):
        if os.environ.get(name) != STARTED.get(name):
            raise NotCarriedError(f"{name} has changed in the environment")


#: Names that have one spelling in all services and clients.
_PLAIN = re.compile(r"[A-Za-z0-9_.=/ -]*")

#: Names of buckets and containers that have one meaning in a URL.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]*")


def is_plain(path: str) -> bool:
    """Whether the path is spelled alike by all clients."""
    parts = path.split("/") if path else []
    return _PLAIN.fullmatch(path) is not None and not {"", ".", ".."}.intersection(parts)


def address(scheme: str, bucket: str, prefix: str) -> str:
    """The address of a folder in a bucket.

    Raises `NotCarriedError` if not all clients spell it alike.
    """
    if not _BUCKET.fullmatch(bucket):
        raise NotCarriedError("the name of the bucket is unusual")
    prefix = prefix.strip("/")
    if not is_plain(prefix):
        raise NotCarriedError("the name of the folder is unusual")
    return f"{scheme}://{bucket}/{prefix.replace(' ', '%20')}".rstrip("/")


def place_of(store: Any) -> Place:
    """Where a store of zarr-python is. Asks nothing of it.

    Raises `NotCarriedError` with the reason if not everything carries over.
    """
    kind = type(store)
    zarr_storage = sys.modules.get("zarr.storage")
    if zarr_storage is not None and kind is zarr_storage.ObjectStore:
        from . import _remote_obstore

        return _remote_obstore.place_of(store.store)
    if zarr_storage is not None and kind is zarr_storage.FsspecStore:
        from . import _remote_fsspec

        return _remote_fsspec.place_of(store)
    raise NotCarriedError(f"the store is a {kind.__name__}")


def is_remote(store: Any) -> bool:
    """Whether a store may be one that carries over, by its class."""
    zarr_storage = sys.modules.get("zarr.storage")
    if zarr_storage is None:
        return False
    return type(store) in (zarr_storage.ObjectStore, zarr_storage.FsspecStore)


#: The stores that are open, by address and options: who names the same place shares connections.
_open: weakref.WeakValueDictionary[tuple[Any, ...], Store] = weakref.WeakValueDictionary()

#: By zarr-python's store (which has no hash): itself, what it was made of, and what carries over.
_known: dict[int, tuple[weakref.ref[Any], tuple[Any, ...], Carried | str]] = {}


def _made_of(store: Any) -> tuple[Any, ...]:
    """What of a store a program may exchange."""
    if hasattr(store, "fs"):
        return store.fs, store.path, store.allowed_exceptions
    return (store.store,)


def _opened(place: Place) -> Store:
    """The store at a place."""
    key = (place.address, tuple(sorted(place.options.items())))
    found = _open.get(key)
    if found is None:
        try:
            found = Store.remote(place.address, place.options)
        except ArgumentError as reason:
            raise NotCarriedError(f"fuzarr does not take its settings: {reason}") from None
        found = _open.setdefault(key, found)
    return found


def seen(store: Any) -> Carried | str | None:
    """What is known of a store: what carries over, why it does not, or nothing yet."""
    known = _known.get(id(store))
    if known is None or known[0]() is not store:
        return None
    parts = _made_of(store)
    same = len(parts) == len(known[1]) and all(
        new is old or (type(new) is str and new == old)
        for new, old in zip(parts, known[1], strict=True)
    )
    return known[2] if same else None


def look(store: Any) -> Carried | str:
    """What carries over of a store, or why it does not. Takes a moment the first time."""
    known = seen(store)
    if known is None:
        try:
            place = place_of(store)
            known = Carried(_opened(place), place)
        except NotCarriedError as reason:
            known = str(reason)
        except Exception as reason:
            # Other versions of these libraries may keep their settings elsewhere.
            known = f"its settings are not to be found: {type(reason).__name__}"
        if is_remote(store):
            number = id(store)
            dead = weakref.ref(store, lambda _: _known.pop(number, None))
            _known[number] = (dead, _made_of(store), known)
    return known


def is_on() -> bool:
    """Whether stores are to carry over at all."""
    return bool(config_list()["remote_stores"])


def carried(store: Any) -> Store | None:
    """The store of fuzarr that does what a remote store of zarr-python does, if there is one."""
    if not is_remote(store) or not is_on():
        return None
    found = look(store)
    if isinstance(found, str):
        return None
    if found.place.writable and not store.read_only:
        return found.store
    return _opened(found.place._replace(options={**found.place.options, "read_only": "true"}))


def wrote(store: Any, keys: list[str]) -> None:
    """Tells a store of zarr-python that objects were written which it may remember otherwise."""
    if hasattr(store, "fs"):
        from . import _remote_fsspec

        _remote_fsspec.forget(store, keys)
