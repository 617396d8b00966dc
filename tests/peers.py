"""The three engines that judge fuzarr, behind one interface: create, write, read.

Each writes its own metadata from the description of the case; none sees another's documents.
"""

import contextlib

import numpy as np
import tensorstore
import zarr
import zarrs
from zarr.core.codec_pipeline import BatchedCodecPipeline

from cases import CONFIGURED


class ZarrPython:
    """zarr-python with its own codec pipeline."""

    name = "zarr-python"
    pipeline = BatchedCodecPipeline

    def __str__(self):
        return self.name

    def missing(self, case):
        """Why this peer cannot take the case, or None."""
        return "zarr-python has no r<N> data type" if case.dtype == "r16" else None

    @contextlib.contextmanager
    def _configured(self):
        path = f"{self.pipeline.__module__}.{self.pipeline.__qualname__}"
        with zarr.config.set({"codec_pipeline.path": path, "codec_pipeline.strict": True}):
            yield

    def _checked(self, array):
        pipeline = array._async_array.codec_pipeline
        assert type(pipeline) is self.pipeline
        return array

    def create(self, path, case, codecs=None):
        with self._configured():
            return self._checked(
                zarr.create(
                    store=str(path),
                    shape=case.geometry.shape,
                    chunks=case.geometry.chunk,
                    dtype=case.numpy,
                    fill_value=case.fill,
                    codecs=codecs or case.codecs(),
                    zarr_format=3,
                )
            )

    def write(self, path, case, codecs=None):
        array = self.create(path, case, codecs)
        with self._configured():
            array[...] = case.data

    def read(self, path):
        with self._configured():
            return np.asarray(self._checked(zarr.open_array(str(path), mode="r"))[...])


class Zarrs(ZarrPython):
    """The zarrs crate, driven by zarr-python through zarrs-python's codec pipeline.

    That it is zarrs that works is held three times: the array's pipeline is of its class, it has a
    Rust implementation, and it has no Python one to fall back on (`strict`), so that whatever Rust
    cannot do raises.
    """

    name = "zarrs"
    pipeline = zarrs.ZarrsCodecPipeline

    def missing(self, case):
        if case.dtype in CONFIGURED:
            return f"zarrs-python does not take {case.data_type()['name']}"
        if case.numpy.kind == "c" and case.endian == "big":
            return "zarrs swaps big-endian complex as one number: its parts change places"
        return super().missing(case)

    def _checked(self, array):
        super()._checked(array)
        pipeline = array._async_array.codec_pipeline
        assert pipeline.impl is not None
        assert pipeline.python_impl is None
        return array


class TensorStore:
    """tensorstore's zarr3 driver on local files."""

    name = "tensorstore"

    def __str__(self):
        return self.name

    def missing(self, case):
        if case.dtype == "r16":
            return "tensorstore takes the fill value of r<N> as base64 only, the spec says bytes"
        if case.dtype == "V3":
            return "tensorstore aborts when it creates raw_bytes, and reads it as no bytes"
        if case.dtype in CONFIGURED:
            return f"tensorstore has no {case.data_type()['name']}"
        return None

    @staticmethod
    def _open(path, metadata=None):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        if metadata:
            spec["metadata"] = metadata
        return tensorstore.open(spec, open=not metadata, create=bool(metadata)).result()

    def create(self, path, case):
        return self._open(
            path,
            {
                "shape": case.geometry.shape,
                "data_type": case.data_type(),
                "chunk_grid": {
                    "name": "regular",
                    "configuration": {"chunk_shape": case.geometry.chunk},
                },
                "fill_value": case.fill_json(),
                "codecs": case.codecs(),
            },
        )

    def write(self, path, case):
        self.create(path, case).write(case.data).result()

    def read(self, path):
        return self._open(path).read().result()


PEERS = (ZarrPython(), Zarrs(), TensorStore())
