"""Attributes as a mapping whose changes are stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._fuzarr import Array, Group


class Attributes(MutableMapping[str, Any]):
    """The attributes of an array or a group.

    A value that is a list or a dict is a copy: what is changed in it is not stored until it is set
    again.
    """

    __slots__ = ("_node",)

    def __init__(self, node: Array | Group) -> None:
        self._node = node

    def __getitem__(self, name: str) -> Any:
        return self._node._attributes()[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._node._change_attributes({name: value}, [], False)

    def __delitem__(self, name: str) -> None:
        if name not in self._node._attributes():
            raise KeyError(name)
        self._node._change_attributes(None, [name], False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._node._attributes())

    def __len__(self) -> int:
        return len(self._node._attributes())

    def __repr__(self) -> str:
        return f"Attributes({self.asdict()!r})"

    def asdict(self) -> dict[str, Any]:
        """All attributes as a dict of their own."""
        return self._node._attributes()

    def put(self, attributes: Mapping[str, Any]) -> None:
        """Stores these attributes in place of all others, in one change."""
        self._node._change_attributes(dict(attributes), [], True)

    def update(self, *arguments: Any, **attributes: Any) -> None:
        """Stores these attributes beside the others, in one change."""
        self._node._change_attributes(dict(*arguments, **attributes), [], False)

    def clear(self) -> None:
        """Deletes all attributes."""
        self.put({})
