"""Selections of a cell, as NumPy has them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def _term(term: Any, extent: int) -> Any:
    if isinstance(term, int):
        return term
    if isinstance(term, Mapping):
        return np.asarray(term["list"], dtype=np.intp)
    start, stop, step = term
    # With bounds as they are used: some engines do not count from the end.
    start, stop, step = slice(start, stop, step).indices(extent)
    return slice(start, None if stop < 0 else stop, step)


def _plain(terms: list[Any]) -> Any:
    """An index of so many axes: of one without a tuple."""
    return terms[0] if len(terms) == 1 else tuple(terms)


class Selection:
    """What of an array is read or written, in one of the ways to ask for it."""

    def __init__(self, described: Mapping[str, Any], shape: Sequence[int]) -> None:
        self.kind: str = described["kind"]
        #: As users write it: in brackets, behind `oindex` or `vindex` where the kind asks for it.
        self.index: Any
        match self.kind:
            case "whole":
                self.index = Ellipsis
            case "basic" | "orthogonal":
                terms = zip(described["terms"], shape, strict=True)
                self.index = _plain([_term(term, extent) for term, extent in terms])
            case "points":
                lists = described["coordinates"]
                self.index = _plain([np.asarray(numbers, dtype=np.intp) for numbers in lists])
            case "mask":
                self.index = np.load(described["file"])
            case kind:
                raise ValueError(f"a selection of kind {kind}")

    @property
    def steps_back(self) -> bool:
        """Whether a range runs backwards."""
        terms = self.index if isinstance(self.index, tuple) else (self.index,)
        return any(isinstance(term, slice) and (term.step or 1) < 0 for term in terms)

    def within(self, array: Any) -> Any:
        """What takes the index: the array, or its `oindex` or `vindex`."""
        match self.kind:
            case "orthogonal":
                return array.oindex
            case "points" | "mask":
                return array.vindex
        return array

    def of(self, values: np.ndarray) -> np.ndarray:
        """The selection of an array in memory."""
        if self.kind != "orthogonal" or not isinstance(self.index, tuple):
            return values[self.index]
        for axis in reversed(range(values.ndim)):
            at: list[Any] = [slice(None)] * values.ndim
            at[axis] = self.index[axis]
            # An axis at a time from the last one on, so that those that vanish are behind.
            values = values[tuple(at[: axis + 1])]
        return values


WHOLE = {"kind": "whole"}


def point(shape: Sequence[int]) -> Selection:
    """The first element."""
    return Selection({"kind": "basic", "terms": [0] * len(shape)}, shape)
