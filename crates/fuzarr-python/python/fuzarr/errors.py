"""Errors. Each is also the builtin that a Python program would catch."""

from __future__ import annotations

import errno
import os
from typing import Any


class FuzarrError(Exception):
    """What all errors of fuzarr are."""

    #: Where it happened, as far as it is known: "key", "chunk", "codec", ...
    context: dict[str, str]

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.context = {}

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:
        # `OSError` would lose its number.
        state = dict(self.__dict__)
        if isinstance(self, OSError) and self.errno is not None:
            state.update(errno=self.errno, strerror=self.strerror)
        return type(self), self.args, state


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


class CorruptError(FuzarrError, ValueError, RuntimeError):
    """Stored bytes are damaged: truncated, failing a checksum, or lying about themselves."""


class ConflictError(FuzarrError, OSError):
    """Somebody else kept changing what was to be changed, or replaced the zip archive that was to
    be written."""


class LimitError(FuzarrError, MemoryError):
    """A size is beyond what this machine or a configured limit allows."""


class CancelledError(FuzarrError, RuntimeError):
    """The request was ended early."""


class StoreError(FuzarrError, OSError):
    """The store failed; with `errno` if the system said so."""


class StorePermissionError(StoreError, PermissionError):
    """The system does not permit what the store was asked for."""


class StoreFileExistsError(StoreError, FileExistsError):
    """A file lies where the store needs a folder, or the other way round."""


class StoreIsADirectoryError(StoreError, IsADirectoryError):
    """A folder lies where the store needs a file."""


class StoreNotADirectoryError(StoreError, NotADirectoryError):
    """A file lies where the store needs a folder."""


_OF_SYSTEM = {
    errno.EACCES: StorePermissionError,
    errno.EPERM: StorePermissionError,
    errno.EEXIST: StoreFileExistsError,
    errno.EISDIR: StoreIsADirectoryError,
    errno.ENOTDIR: StoreNotADirectoryError,
}


def _of_system(name: str, message: str, number: int) -> FuzarrError:
    """The error of a class that an error of the system caused."""
    kind: type[FuzarrError] = globals()[name]
    error = (_OF_SYSTEM.get(number, kind) if kind is StoreError else kind)(message)
    if isinstance(error, OSError):
        error.errno, error.strerror = number, os.strerror(number)
    return error
