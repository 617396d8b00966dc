"""Contents of arrays: made from a seed, the same in every run."""

from typing import Any

import numpy as np

#: Values of `semi-random`, evenly drawn: zstd makes 1 / 1.8 of them.
ALPHABET = 21


def content(array: dict[str, Any], kind: str, seed: int) -> np.ndarray:
    """The elements of `array`; another seed gives other elements at nearly every place."""
    shape, dtype = array["shape"], np.dtype(array["dtype"])
    random = np.random.default_rng([seed, 2024])
    match kind:
        case "constant":
            return np.full(shape, 7 + 2 * seed, dtype)
        case "semi-random":
            # Never the fill value: a chunk of that alone would not be stored.
            return random.integers(1, 1 + ALPHABET, shape, "uint8").astype(dtype, copy=False)
        case "half missing":
            values = content(array, "semi-random", seed)
            values[_every_other(array)] = array["fill_value"]
            return values
        case "smooth":
            return _smooth(shape, dtype, random)
    raise ValueError(f"unknown content {kind!r}")


def _every_other(array: dict[str, Any]) -> np.ndarray:
    """Where every other chunk lies, along the first axis of an array."""
    chunk = array["chunks"][0]
    return np.arange(array["shape"][0]) // chunk % 2 == 1


def _smooth(shape: list[int], dtype: np.dtype, random: np.random.Generator) -> np.ndarray:
    """Waves along the axes with noise below, as measured fields are."""
    values = np.empty(shape, dtype)
    waves = [
        np.sin(np.linspace(0, 7 + axis, extent) + random.random())
        for axis, extent in enumerate(shape)
    ]
    plane = sum(
        wave.reshape([-1 if at == axis else 1 for at in range(len(shape) - 1)])
        for axis, wave in enumerate(waves[1:])
    )
    # Plane by plane: the noise of a large array would not fit beside it.
    for at, height in enumerate(waves[0]) if len(shape) > 1 else [(..., waves[0])]:
        field = plane + height
        if dtype.kind == "f":
            noise = random.standard_normal(field.shape, dtype="float32")
            values[at] = np.round((field * 10 + 280 + noise * 0.05) * 100) / 100
        else:
            noise = random.integers(0, 32, field.shape, "uint16")
            values[at] = (field * 2000 + 10_000).astype(dtype) + noise
    return values
