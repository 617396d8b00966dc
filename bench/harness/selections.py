"""Selections: from a family's words to the protocol's, and what NumPy makes of them."""

import itertools
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

Selection = dict[str, Any]


def draw(wanted: Any, array: dict[str, Any], folder: Path) -> list[Selection]:
    """The selections that a family asks for; masks are written into `folder`.

    A text is an index as in NumPy; a table names one of the kinds below. What is random is the same
    in every run."""
    shape = array["shape"]
    if wanted == "whole":
        return [{"kind": "whole"}]
    if isinstance(wanted, str):
        return [{"kind": "basic", "terms": _terms(wanted, shape)}]
    if isinstance(wanted, list):
        return [one for each in wanted for one in draw(each, array, folder)]
    random = np.random.default_rng(zlib.crc32(repr((wanted, shape)).encode()))
    ((kind, amount),) = wanted.items()
    match kind:
        case "each":
            return list(_boxes(shape, array[amount]))
        case "random chunks":
            return _some(list(_boxes(shape, array["chunks"])), amount, random)
        case "points":
            return [{"kind": "points", "coordinates": _points(shape, amount, random)}]
        case "lists":
            return [{"kind": "orthogonal", "terms": _lists(shape, amount, random)}]
        case "rows":
            rows = random.choice(shape[0], amount, replace=False).tolist()
            rest = [[0, extent, 1] for extent in shape[1:]]
            return [{"kind": "orthogonal", "terms": [{"list": rows}, *rest]}]
        case "mask":
            path = folder / f"mask-{amount}.npy"
            np.save(path, random.random(shape) < amount)
            return [{"kind": "mask", "file": str(path)}]
    raise ValueError(f"unknown selection {wanted!r}")


def _terms(text: str, shape: list[int]) -> list[Any]:
    terms = [term.strip() for term in text.split(",")]
    if len(terms) != len(shape):
        raise ValueError(f"{text!r} is not for {len(shape)} dimensions")
    return [_term(term, extent) for term, extent in zip(terms, shape, strict=True)]


def _term(text: str, extent: int) -> Any:
    if ":" not in text:
        return int(text)
    parts = slice(*(int(part) if part else None for part in text.split(":")))
    start, stop, step = parts.indices(extent)
    if step < 1:
        raise ValueError(f"{text!r} goes backwards")
    return [start, stop, step]


def _boxes(shape: list[int], chunk: list[int]) -> Iterator[Selection]:
    starts = [range(0, extent, size) for extent, size in zip(shape, chunk, strict=True)]
    for corner in itertools.product(*starts):
        sides = zip(corner, chunk, shape, strict=True)
        terms = [[start, min(start + size, extent), 1] for start, size, extent in sides]
        yield {"kind": "basic", "terms": terms}


def _some(boxes: list[Selection], amount: int, random: np.random.Generator) -> list[Selection]:
    return [boxes[at] for at in random.choice(len(boxes), amount, replace=False)]


def _points(shape: list[int], amount: int, random: np.random.Generator) -> list[list[int]]:
    flat = random.choice(prod(shape), amount, replace=False)
    return [axis.tolist() for axis in np.unravel_index(flat, shape)]


def _lists(shape: list[int], amounts: list[int], random: np.random.Generator) -> list[Any]:
    return [
        {"list": sorted(random.choice(extent, amount, replace=False).tolist())}
        if amount
        else [0, extent, 1]
        for extent, amount in zip(shape, amounts, strict=True)
    ]


def taken(values: np.ndarray, selection: Selection) -> np.ndarray:
    """What `selection` takes of `values`."""
    match selection["kind"]:
        case "whole":
            return values
        case "basic":
            return values[basic_index(selection)]
        case "points":
            return values[tuple(np.array(axis) for axis in selection["coordinates"])]
        case "mask":
            return values[np.load(selection["file"])]
    for axis, term in reversed(list(enumerate(selection["terms"]))):
        index = [slice(None)] * axis
        values = values[(*index, along(term))]
    return values


def assign(values: np.ndarray, selection: Selection, source: np.ndarray) -> None:
    """Puts what `selection` takes of `source`, an array of the same shape, into `values`."""
    if selection["kind"] == "whole":
        values[...] = source
    elif selection["kind"] == "basic":
        index = basic_index(selection)
        values[index] = source[index]
    else:
        places = taken(np.arange(values.size).reshape(values.shape), selection)
        values.reshape(-1)[places] = source.reshape(-1)[places]


def basic_index(selection: Selection) -> tuple[Any, ...]:
    """A basic selection as NumPy's index."""
    return tuple(along(term) for term in selection["terms"])


def along(term: Any) -> Any:
    """One term as NumPy's index of one axis."""
    if isinstance(term, dict):
        return np.array(term["list"], dtype=np.intp)
    return term if isinstance(term, int) else slice(*term)
