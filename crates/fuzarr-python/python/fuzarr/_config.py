"""Options of all requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

from ._fuzarr import config_list, config_set

Option = int | bool | str | None


class _Changed:
    """A change of options, undone at the end of a ``with`` block."""

    def __init__(self, before: dict[str, Option]) -> None:
        self._before = before

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        config_set(self._before)


class Config(Mapping[str, Any]):
    """The options of fuzarr in this process, by name.

    The environment sets them at first: ``FUZARR_WORKERS`` is ``config["workers"]``, and so on.
    ``config.set(workers=4)`` changes them, for good or, as a context manager, for a ``with`` block.
    """

    def __getitem__(self, name: str) -> Any:
        return config_list()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(config_list())

    def __len__(self) -> int:
        return len(config_list())

    def set(self, options: Mapping[str, Option] | None = None, **named: Option) -> _Changed:
        """Sets options: numbers, switches, or text as in the environment, ``"512MiB"``; ``None``
        for the default. All of them or, if one is wrong, none."""
        changes = {**(options or {}), **named}
        before = {name: value for name, value in config_list().items() if name in changes}
        config_set(changes)
        return _Changed(before)

    def __repr__(self) -> str:
        return f"Config({config_list()!r})"


config = Config()
