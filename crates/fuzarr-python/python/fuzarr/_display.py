"""Arrays and groups for people: summaries, trees, HTML; and the rows of an array."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Any

from ._fuzarr import Array

if TYPE_CHECKING:
    from ._fuzarr import Group


def _bytes(size: int) -> str:
    """A size with its unit."""
    scaled = float(size)
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"]:
        if scaled < 1024 or unit == "TiB":
            break
        scaled /= 1024
    return f"{size} B" if unit == "B" else f"{size} B ({scaled:.1f} {unit})"


def _codecs(codecs: tuple[dict[str, Any], ...]) -> str:
    def codec(codec: dict[str, Any]) -> str:
        settings = {name: value for name, value in codec.items() if name not in ("name", "id")}
        settings |= settings.pop("configuration", {})
        said = ", ".join(f"{name}={value}" for name, value in settings.items())
        return f"{codec.get('name', codec.get('id'))}({said})"

    return ", ".join(map(codec, codecs)) or "none"


def _array_facts(array: Array) -> dict[str, str]:
    facts = {
        "Type": "Array",
        "Place": str(array.store) + (f"/{array.path}" if array.path else ""),
        "Zarr format": str(array.zarr_format),
        "Data type": str(array.dtype),
        "Shape": str(array.shape),
        "Chunk shape": str(array.chunks),
    }
    if array.shards is not None:
        facts["Shard shape"] = str(array.shards)
    if array.dimension_names is not None:
        facts["Dimensions"] = ", ".join(name or "-" for name in array.dimension_names)
    serializer = () if array.serializer is None else (array.serializer,)
    return facts | {
        "Fill value": repr(array.fill_value),
        "Filters": _codecs(array.filters),
        "Serializer": _codecs(serializer),
        "Compressors": _codecs(array.compressors),
        "Read-only": str(array.read_only),
        "In memory": _bytes(array.nbytes),
        "Chunks": str(array.nchunks),
    }


def _group_facts(group: Group) -> dict[str, str]:
    facts = {
        "Type": "Group",
        "Place": str(group.store) + (f"/{group.path}" if group.path else ""),
        "Zarr format": str(group.zarr_format),
        "Read-only": str(group.read_only),
        "Arrays": ", ".join(group.array_keys()) or "none",
        "Groups": ", ".join(group.group_keys()) or "none",
    }
    if group.consolidated:
        facts["Members"] = "by consolidated metadata"
    return facts


def _facts(node: Array | Group) -> dict[str, str]:
    return _array_facts(node) if isinstance(node, Array) else _group_facts(node)


class Info:
    """What a node is: a text, or a table in a notebook."""

    def __init__(self, node: Array | Group) -> None:
        self._facts = _facts(node)
        self._html = html(node)

    def __repr__(self) -> str:
        width = max(map(len, self._facts))
        return "\n".join(f"{name:<{width}} : {fact}" for name, fact in self._facts.items())

    def _repr_html_(self) -> str:
        return self._html


def html(node: Array | Group) -> str:
    """The table that notebooks show."""
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(fact)}</td></tr>'
        for name, fact in _facts(node).items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


class Tree:
    """What is below a group, a line for each node."""

    def __init__(self, group: Group, level: int | None) -> None:
        self._root = group.name
        self._branches = group._branches(level)

    def _lines(self) -> Iterator[str]:
        yield self._root
        below: dict[str, list[tuple[str, str | None]]] = {}
        for path, _, text in self._branches:
            above, _, _ = path.rpartition("/")
            below.setdefault(above, []).append((path, text))

        def lines(above: str, indent: str) -> Iterator[str]:
            members = below.get(above, [])
            for number, (path, text) in enumerate(members, 1):
                last = number == len(members)
                name = path.rpartition("/")[2]
                yield f"{indent}{'└' if last else '├'}── {name}{f' {text}' if text else ''}"
                yield from lines(path, indent + ("    " if last else "│   "))

        yield from lines("", "")

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def rows(array: Array) -> Iterator[Any]:
    """The array along its first dimension, read in steps of whole chunks or shards."""
    step = (array.shards or array.chunks)[0]
    start = 0
    # The length anew each time: the array may grow or shrink meanwhile.
    while start < array.shape[0]:
        yield from array[start : start + step]
        start += step
