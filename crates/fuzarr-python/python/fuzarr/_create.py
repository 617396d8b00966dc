"""Creating arrays and groups: the arguments that zarr-python's users know."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol

import numpy as np

from . import _fuzarr
from ._fuzarr import Array, Group, Store


class ZarrStore(Protocol):
    """A store of zarr-python: one that is remote, and whose settings carry over."""

    @property
    def read_only(self) -> bool: ...
    @property
    def supports_listing(self) -> bool: ...


StoreLike = str | os.PathLike[str] | Store | ZarrStore | None
Codec = str | Mapping[str, Any] | Any
Codecs = Codec | Iterable[Codec] | None


class _Default:
    """Stands for the fill value of the type."""

    def __repr__(self) -> str:
        return "<default>"


DEFAULT = _Default()


def located(store: StoreLike, storage_options: Mapping[str, Any] | None) -> StoreLike:
    """The store, by its URL and options if there are any."""
    if not storage_options:
        return store
    if not isinstance(store, str):
        raise TypeError("storage_options are for remote stores, by their URLs")
    return Store.remote(store, storage_options)


def _codec(codec: Any) -> Any:
    """A codec as metadata has it, without importing who made it."""
    if isinstance(codec, (str, Mapping)):
        return codec
    if hasattr(codec, "to_dict"):
        plain = dict(codec.to_dict())
        # What zarr-python's codecs leave open until they know the type of the elements.
        open_settings = getattr(codec, "_tunable_attrs", ())
        if open_settings:
            settings = plain.get("configuration", {}).items()
            plain["configuration"] = {
                name: setting for name, setting in settings if name not in open_settings
            }
        return plain
    if hasattr(codec, "get_config"):
        return codec.get_config()
    raise TypeError(f"an object of type {type(codec).__name__} is no codec")


def _codecs(codecs: Codecs) -> list[Any] | None:
    """A list of codecs; ``None`` for "auto", what the type needs."""
    if isinstance(codecs, str) and codecs == "auto":
        return None
    if codecs is None:
        return []
    if isinstance(codecs, (str, Mapping)) or not isinstance(codecs, Iterable):
        return [_codec(codecs)]
    return [_codec(codec) for codec in codecs]


def _key_encoding(encoding: Any) -> Any:
    if encoding is None or isinstance(encoding, str):
        return encoding
    if isinstance(encoding, tuple):
        name, separator = encoding
        return {"name": name, "configuration": {"separator": separator}}
    plain = dict(encoding) if isinstance(encoding, Mapping) else dict(encoding.to_dict())
    if "separator" in plain:
        plain["configuration"] = {"separator": plain.pop("separator")}
    return plain


def create_array(
    store: StoreLike = None,
    *,
    name: str | None = None,
    shape: int | Iterable[int] | None = None,
    dtype: Any = None,
    data: Any = None,
    chunks: int | Iterable[int] | bool | Literal["auto"] | None = "auto",
    shards: int | Iterable[int] | bool | Literal["auto"] | Mapping[str, Any] | None = None,
    filters: Codecs = "auto",
    compressors: Codecs = "auto",
    serializer: Codec = "auto",
    fill_value: Any = DEFAULT,
    order: Literal["C", "F"] | None = None,
    zarr_format: Literal[2, 3] | None = 3,
    attributes: Mapping[str, Any] | None = None,
    chunk_key_encoding: Any = None,
    dimension_names: Iterable[str | None] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    config: Mapping[str, Any] | None = None,
    write_data: bool = True,
    subchunk_write_order: Literal[
        "morton", "lexicographic", "colexicographic", "unordered"
    ] = "morton",
    index_location: Literal["start", "end"] = "end",
) -> Array:
    """Creates an array.

    Parameters
    ----------
    store
        A path, a URL, a ``Store``, also of a zip archive, or a remote store of zarr-python; without
        one the array is in memory.
    name
        The path in the store; its root without.
    shape, dtype
        What the array holds. ``dtype`` is a type of NumPy's or a name of Zarr's.
    data
        An array to take shape, type and, with ``write_data``, values from.
    chunks
        The shape of a chunk; -1 for a dimension that is not cut. ``"auto"``, ``None`` or ``True``
        leave it to fuzarr; with ``False`` the array is one chunk.
    shards
        The shape of a shard, a stored object that holds many chunks. ``"auto"`` or ``True`` leave
        it to fuzarr; with ``None`` or ``False`` each chunk is an object.
    filters, serializer, compressors
        Codecs: ``{"name": ..., "configuration": ...}``, names, codec objects of zarr-python and
        numcodecs, or for Zarr v3 the short form of the command (``"zstd:5,crc32c"``, ``"none"``).
        ``"auto"`` is no filter, the serializer that the type needs, and ``"zstd"``.
    fill_value
        What elements are that nobody has written; zero, ``False``, ``""`` or ``NaT`` unless given.
    order
        For Zarr v2: ``"F"`` stores the elements of a chunk in Fortran order.
    zarr_format
        The version of the format, 2 or 3.
    attributes
        The user's attributes: what JSON can say.
    chunk_key_encoding
        How chunks are named: ``"default"`` (``c/0/1``), ``"v2"`` (``0.1``), or such a name with a
        separator, ``("v2", "/")``.
    dimension_names
        A name for each dimension, or ``None`` for one without.
    storage_options
        Options of a remote store, for a ``store`` that is a URL.
    overwrite
        Whether what is there is deleted: a node with all that is below it, or chunks that one left
        behind. Otherwise these are an ``ExistsError``.
    config
        ``write_empty_chunks``, ``read_missing_chunks``, ``subchunk_write_order``.
    subchunk_write_order
        In which order the chunks of a shard are written.
    index_location
        Where in a shard its index is.
    """
    store = located(store, storage_options)
    if data is not None:
        if shape is not None or dtype is not None:
            raise ValueError("with data, neither shape nor dtype can be given")
        data = data if hasattr(data, "dtype") and hasattr(data, "shape") else np.asarray(data)
        shape, dtype = data.shape, data.dtype
    elif shape is None or dtype is None:
        raise ValueError("without data, shape and dtype are needed")
    if isinstance(shards, Mapping):
        index_location = shards.get("index_location", index_location)
        shards = shards["shape"]
    serial = _codecs(serializer)
    if serial is not None and len(serial) != 1:
        raise ValueError("the serializer is one codec")
    options = {
        "shape": shape,
        "dtype": dtype,
        "chunks": chunks,
        "shards": shards,
        "filters": _codecs(filters),
        "serializer": serial[0] if serial else None,
        "compressors": _codecs(compressors),
        "fill_value": None if fill_value is DEFAULT else (fill_value,),
        "order": order,
        "zarr_format": 3 if zarr_format is None else zarr_format,
        "attributes": None if attributes is None else dict(attributes),
        "chunk_key_encoding": _key_encoding(chunk_key_encoding),
        "dimension_names": None if dimension_names is None else list(dimension_names),
        "index_location": index_location,
    }
    settings = {"subchunk_write_order": subchunk_write_order, **(config or {})}
    array = _fuzarr.create_array(store, name or "", options, overwrite, settings)
    if data is not None and write_data:
        array[...] = data
    return array


def create_group(
    store: StoreLike = None,
    *,
    path: str | None = None,
    zarr_format: Literal[2, 3] | None = 3,
    overwrite: bool = False,
    attributes: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Group:
    """Creates a group at ``path`` of ``store``."""
    store = located(store, storage_options)
    return _fuzarr.create_group(
        store,
        path or "",
        3 if zarr_format is None else zarr_format,
        overwrite,
        None if attributes is None else dict(attributes),
    )


def create(
    shape: int | Iterable[int],
    *,
    chunks: Any = None,
    dtype: Any = None,
    compressor: Codecs = "auto",
    fill_value: Any = DEFAULT,
    store: StoreLike = None,
    overwrite: bool = False,
    path: str | None = None,
    dimension_separator: Literal[".", "/"] | None = None,
    write_empty_chunks: bool | None = None,
    mode: str | None = None,
    data: Any = None,
    config: Mapping[str, Any] | None = None,
    **options: Any,
) -> Array:
    """Creates an array with the arguments of zarr-python's ``create``, or of ``create_array``.
    Elements are ``float64`` unless stated otherwise."""
    compressors = options.pop("compressors", "auto")
    if not (isinstance(compressor, str) and compressor == "auto"):
        compressors = compressor
    keys = options.pop("chunk_key_encoding", None)
    if keys is None and dimension_separator is not None:
        keys = ("v2", dimension_separator)
    config = dict(config or {})
    if write_empty_chunks is not None:
        config["write_empty_chunks"] = write_empty_chunks
    if mode == "r":
        raise ValueError("mode 'r' creates nothing")
    array = create_array(
        store,
        name=path,
        shape=shape,
        dtype="float64" if dtype is None else dtype,
        chunks=options.pop("chunk_shape", None) if chunks is None else chunks,
        compressors=compressors,
        chunk_key_encoding=keys,
        fill_value=fill_value,
        overwrite=overwrite or mode == "w",
        config=config,
        **options,
    )
    if data is not None:
        array[...] = data
    return array


def empty(shape: int | Iterable[int], **options: Any) -> Array:
    """Creates an array of elements that are not stated. Options are those of ``create``."""
    return create(shape, **options)


def zeros(shape: int | Iterable[int], **options: Any) -> Array:
    """Creates an array of zeros. Options are those of ``create``."""
    return create(shape, fill_value=0, **options)


def ones(shape: int | Iterable[int], **options: Any) -> Array:
    """Creates an array of ones. Options are those of ``create``."""
    return create(shape, fill_value=1, **options)


def full(shape: int | Iterable[int], fill_value: Any, **options: Any) -> Array:
    """Creates an array of ``fill_value``. Options are those of ``create``."""
    return create(shape, fill_value=fill_value, **options)


def like(array: Any) -> dict[str, Any]:
    """The options that create an array like this one."""
    options: dict[str, Any] = {}
    shape = getattr(array, "shape", None)
    if isinstance(shape, tuple):
        options["shape"] = shape
        chunks = getattr(array, "chunks", None)
        if isinstance(chunks, tuple) and len(chunks) == len(shape):
            options["chunks"] = chunks
    if hasattr(array, "dtype"):
        options["dtype"] = array.dtype
    if isinstance(array, Array):
        options |= {"fill_value": array.fill_value, "zarr_format": array.zarr_format}
        if array.zarr_format == 2:
            options |= {
                "order": array.order,
                "compressors": array.compressors,
                "filters": array.filters,
            }
        else:
            options |= {
                "dtype": _type_name(array),
                "shards": array.shards,
                "filters": array.filters,
                "serializer": array.serializer,
                "compressors": array.compressors,
            }
    return options


def _type_name(array: Array) -> Any:
    """The type as Zarr names it, if it has no configuration: NumPy has none for bytes."""
    name = array.metadata["data_type"]
    return name if isinstance(name, str) else array.dtype


def empty_like(a: Any, **options: Any) -> Array:
    """Creates an array with the shape, type and layout of ``a``."""
    return create(**(like(a) | options))


def zeros_like(a: Any, **options: Any) -> Array:
    """Creates an array of zeros with the shape, type and layout of ``a``."""
    return create(**(like(a) | {"fill_value": 0} | options))


def ones_like(a: Any, **options: Any) -> Array:
    """Creates an array of ones with the shape, type and layout of ``a``."""
    return create(**(like(a) | {"fill_value": 1} | options))


def full_like(a: Any, fill_value: Any = DEFAULT, **options: Any) -> Array:
    """Creates an array of ``fill_value`` with the shape, type and layout of ``a``."""
    given = {} if fill_value is DEFAULT else {"fill_value": fill_value}
    return create(**(like(a) | given | options))


def check_like(node: Any, shape: Any, dtype: Any) -> None:
    """Checks that what is there is an array of this shape, and of a type that takes the other."""
    if not isinstance(node, Array):
        raise TypeError("there is a group, not an array")
    wanted = (shape,) if isinstance(shape, int) else tuple(shape)
    if node.shape != wanted:
        raise TypeError(f"the array has shape {node.shape}, not {wanted}")
    if dtype is not None and not np.can_cast(node.dtype, np.dtype(dtype)):
        raise TypeError(f"the array has elements of type {node.dtype}, not {dtype}")
