"""All engines by name."""

from importlib import import_module

from engine import Engine

#: Where an engine is made, given a number of workers (0: as many as it takes by itself).
ENGINES = {
    "fuzarr": ("native", "Fuzarr"),
    "drop-in": ("zarr_python", "drop_in"),
    "drop-in accelerated": ("zarr_python", "drop_in_accelerated"),
    "batched": ("zarr_python", "batched"),
    "fused": ("zarr_python", "fused"),
    "batched fsspec": ("zarr_python", "batched_fsspec"),
    "fused fsspec": ("zarr_python", "fused_fsspec"),
    "batched 1": ("zarr_python", "batched_alone"),
    "fused 1": ("zarr_python", "fused_alone"),
    "zarrs-python": ("zarr_python", "Zarrs"),
    "icechunk": ("icechunk_repository", "batched"),
    "icechunk fused": ("icechunk_repository", "fused"),
    "tensorstore": ("tensor_store", "unsynced"),
    "tensorstore synced": ("tensor_store", "synced"),
}


def engine(name: str, workers: int) -> Engine:
    """Makes an engine; only what it needs is imported."""
    module, maker = ENGINES[name]
    return getattr(import_module(module), maker)(workers)
