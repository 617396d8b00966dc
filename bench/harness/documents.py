"""Metadata documents of arrays and groups, as they are stored."""

import json
from pathlib import Path
from typing import Any

import numpy as np

SHUFFLES = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}

GROUP = {"zarr_format": 3, "node_type": "group", "attributes": {}}


def document(array: dict[str, Any]) -> dict[str, Any]:
    """The document of `array`, in its format."""
    return _v2(array) if array["format"] == 2 else _v3(array)


def document_name(array: dict[str, Any]) -> str:
    """The key at which the document is stored."""
    return ".zarray" if array["format"] == 2 else "zarr.json"


def store_document(folder: Path, array: dict[str, Any]) -> None:
    """Writes the document of `array` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / document_name(array)).write_text(json.dumps(document(array)))


def _v3(array: dict[str, Any]) -> dict[str, Any]:
    codecs = _chain(array)
    for inner in (array["nested"], array["chunks"] if array["shards"] else None):
        if inner:
            codecs = [_sharding(inner, codecs)]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": array["shape"],
        "data_type": array["dtype"],
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": array["shards"] or array["chunks"]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": array["fill_value"],
        "codecs": codecs,
        "attributes": {},
    }


def _sharding(inner: list[int], codecs: list[dict[str, Any]]) -> dict[str, Any]:
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    configuration = {
        "chunk_shape": inner,
        "codecs": codecs,
        "index_codecs": index,
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": configuration}


def _chain(array: dict[str, Any]) -> list[dict[str, Any]]:
    chain = [{"name": "bytes", "configuration": {"endian": "little"}}]
    codec = dict(array["codec"])
    name = codec.pop("name")
    if name == "raw":
        return chain
    if name == "blosc":
        codec |= {"typesize": np.dtype(array["dtype"]).itemsize, "blocksize": 0}
    return [*chain, {"name": name, "configuration": codec}]


def _v2(array: dict[str, Any]) -> dict[str, Any]:
    compressor = {"id" if key == "name" else key: value for key, value in array["codec"].items()}
    # numcodecs knows it, tensorstore's version 2 does not; it is off either way.
    compressor.pop("checksum", None)
    if compressor["id"] == "blosc":
        compressor |= {"shuffle": SHUFFLES[compressor["shuffle"]], "blocksize": 0}
    return {
        "zarr_format": 2,
        "shape": array["shape"],
        "chunks": array["chunks"],
        "dtype": np.dtype(array["dtype"]).newbyteorder("<").str,
        "compressor": None if compressor["id"] == "raw" else compressor,
        "fill_value": array["fill_value"],
        "order": "C",
        "filters": None,
        "dimension_separator": ".",
    }
