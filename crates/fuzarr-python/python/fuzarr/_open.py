"""Opening, saving and loading: the functions that zarr-python's users know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from . import _fuzarr
from ._create import StoreLike, create, create_array, create_group, located
from ._fuzarr import Array, Group
from .errors import NotFoundError

if TYPE_CHECKING:
    _Mode = Literal["r", "r+", "a", "w", "w-"]


def _check_mode(mode: str) -> None:
    if mode not in ("r", "r+", "a", "w", "w-"):
        raise ValueError(f"mode is r, r+, a, w or w-, not {mode!r}")


def _open(
    store: StoreLike,
    path: str | None,
    mode: str,
    kind: str | None,
    zarr_format: int | None,
    use_consolidated: bool | None = None,
    config: Mapping[str, Any] | None = None,
) -> Array | Group:
    settings = None if config is None else dict(config)
    return _fuzarr.open_node(
        store,
        path or "",
        mode == "r",
        kind,
        zarr_format,
        use_consolidated,
        settings,
        mode == "a",
    )


def open(
    store: StoreLike = None,
    *,
    mode: _Mode | None = None,
    zarr_format: Literal[2, 3] | None = None,
    path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Array | Group:
    """Opens the array or group at ``path`` of ``store``.

    ``mode``: "r" to read, "r+" to read and write what is there, "a" (unless stated otherwise) to
    create it if it is not there, "w" to create it in place of what is there, "w-" to create it if
    nothing is there. An array is created if ``options`` say its ``shape``, else a group.
    """
    store = located(store, storage_options)
    mode = mode or "a"
    _check_mode(mode)
    if mode in ("r", "r+", "a"):
        try:
            node = _open(store, path, mode, None, zarr_format, config=config)
        except NotFoundError:
            if mode != "a":
                raise
        else:
            if config is not None and isinstance(node, Group):
                raise TypeError("config is for arrays, and this is a group")
            return node
    if "shape" in options:
        return open_array(
            store, mode=mode, zarr_format=zarr_format, path=path or "", config=config, **options
        )
    return open_group(store, mode=mode, zarr_format=zarr_format, path=path, **options)


def open_array(
    store: StoreLike = None,
    *,
    zarr_format: Literal[2, 3] | None = None,
    path: str | None = "",
    storage_options: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    mode: _Mode | None = None,
    **options: Any,
) -> Array:
    """Opens the array at ``path`` of ``store``; ``mode`` as for ``open``, "r+" if it is not said.
    ``options`` are those of ``create`` for an array that is to be created."""
    store = located(store, storage_options)
    mode = mode or "r+"
    _check_mode(mode)
    if mode in ("r", "r+", "a"):
        try:
            array = _open(store, path, mode, "array", zarr_format, config=config)
        except NotFoundError:
            if mode != "a":
                raise
        else:
            assert isinstance(array, Array)
            return array
    return create(
        store=store,
        path=path,
        zarr_format=zarr_format or 3,
        overwrite=mode == "w",
        config=config,
        **options,
    )


def open_group(
    store: StoreLike = None,
    *,
    mode: _Mode = "a",
    path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    attributes: Mapping[str, Any] | None = None,
    use_consolidated: bool | None = None,
) -> Group:
    """Opens the group at ``path`` of ``store``; ``mode`` as for ``open``.

    ``use_consolidated``: whether consolidated metadata must be there (``True``), is not looked at
    (``False``), or is believed where it is (``None``).
    """
    store = located(store, storage_options)
    _check_mode(mode)
    if mode in ("r", "r+", "a"):
        try:
            group = _open(store, path, mode, "group", zarr_format, use_consolidated)
        except NotFoundError:
            if mode != "a" or use_consolidated:
                raise
        else:
            assert isinstance(group, Group)
            return group
    return create_group(
        store,
        path=path,
        zarr_format=zarr_format or 3,
        overwrite=mode == "w",
        attributes=attributes,
    )


def consolidate_metadata(
    store: StoreLike, path: str | None = None, zarr_format: Literal[2, 3] | None = None
) -> Group:
    """Gathers the metadata of all nodes below a group into its own document; the group."""
    if zarr_format is not None:
        _open(store, path, "r", "group", zarr_format, False)
    return _fuzarr.consolidate_metadata(store, path or "")


def save(
    store: StoreLike,
    *args: Any,
    zarr_format: Literal[2, 3] | None = None,
    path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Stores one array, where there must be nothing, or several in a group that takes the place of
    what is there."""
    store = located(store, storage_options)
    if not args and not kwargs:
        raise ValueError("at least one array must be provided")
    if len(args) == 1 and not kwargs:
        save_array(store, args[0], zarr_format=zarr_format, path=path)
    else:
        save_group(store, *args, zarr_format=zarr_format, path=path, **kwargs)


def save_array(
    store: StoreLike,
    arr: Any,
    *,
    zarr_format: Literal[2, 3] | None = None,
    path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Stores an array; ``options`` are those of ``create_array``."""
    store = located(store, storage_options)
    create_array(store, name=path, data=arr, zarr_format=zarr_format, **options)


def save_group(
    store: StoreLike,
    *args: Any,
    zarr_format: Literal[2, 3] | None = None,
    path: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Stores arrays in a group that takes the place of what is there, named ``arr_0`` and so on,
    or as they are passed."""
    store = located(store, storage_options)
    if not args and not kwargs:
        raise ValueError("at least one array must be provided")
    arrays = {f"arr_{number}": arr for number, arr in enumerate(args)} | kwargs
    group = create_group(store, path=path, zarr_format=zarr_format, overwrite=True)
    for name, arr in arrays.items():
        group.create_array(name, data=arr)


def load(
    store: StoreLike, path: str | None = None, zarr_format: Literal[2, 3] | None = None
) -> np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]:
    """The values of an array, or of all arrays in a group by name."""
    node = open(store, mode="r", path=path, zarr_format=zarr_format)
    if isinstance(node, Array):
        return np.asarray(node)
    return {name: np.asarray(array) for name, array in node.arrays()}
