"""Errors. Each is also the builtin that a Python program would catch."""

from __future__ import annotations


class FuzarrError(Exception):
    """What all errors of fuzarr are."""

    #: Where it happened, as far as it is known: "key", "chunk", "codec", ...
    context: dict[str, str]

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.context = {}

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFoundError(FuzarrError, FileNotFoundError, KeyError):
    """The store, node or chunk does not exist."""


class ExistsError(FuzarrError, FileExistsError, ValueError):
    """The node to be created exists already."""


class FormatError(FuzarrError, ValueError):
    """A metadata document breaks the Zarr specification."""


class UnsupportedError(FuzarrError, NotImplementedError):
    """Valid, but fuzarr has no implementation of it."""


class ArgumentError(FuzarrError, ValueError):
    """A shape, option or other argument is wrong."""


class SelectionError(FuzarrError, IndexError):
    """A selection is out of bounds, or none."""


class ReadOnlyError(FuzarrError, PermissionError, ValueError):
    """A change through a handle that was opened for reading only."""


class CorruptError(FuzarrError, ValueError):
    """Stored bytes are damaged: truncated, failing a checksum, or lying about themselves."""


class ConflictError(FuzarrError, OSError):
    """Somebody else kept changing what was to be changed, or replaced the zip archive that was to
    be written."""


class LimitError(FuzarrError, MemoryError):
    """A size is beyond what this machine or a configured limit allows."""


class CancelledError(FuzarrError, RuntimeError):
    """The request was ended early."""


class StoreError(FuzarrError, OSError):
    """The store failed."""
