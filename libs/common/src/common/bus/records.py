"""Reads batches with header names that are not UTF-8.

The broker takes them from anybody who may write. aiokafka takes such a batch for corrupt and reads it again
without end, with all that its reader has to read beside it; here what is no text in a name is replaced.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records

_fetcher: Any = fetcher
_memory_records: Any = memory_records
_default_records: Any = default_records
"""Nothing public of the driver's reads batches in another way."""


def make_reader(**options: Any) -> AIOKafkaConsumer:
    """A consumer of the driver's that no name of a header stops."""
    _fetcher.MemoryRecords = _Records
    return AIOKafkaConsumer(**options)


class _Records:
    """The batches of one fetch."""

    def __init__(self, data: bytes) -> None:
        self._inner = _memory_records._MemoryRecordsPy(data)

    def size_in_bytes(self) -> int:
        return int(self._inner.size_in_bytes())

    def has_next(self) -> bool:
        return bool(self._inner.has_next())

    def next_batch(self) -> Any:
        data = self._inner._next_slice
        batch = self._inner.next_batch()
        return None if batch is None else _Batch(batch, bytes(data))


class _Batch:
    """One batch; what its quick reader gives up is read again by the patient one."""

    def __init__(self, quick: Any, data: bytes) -> None:
        self._quick, self._data = quick, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quick, name)

    def __next__(self) -> Any:
        return next(self._quick)

    def __iter__(self) -> Iterator[Any]:
        done = 0
        try:
            for record in self._quick:
                yield record
                done += 1
        except (UnicodeDecodeError, CorruptRecordException):
            yield from islice(_patient(self._data), done, None)


def _patient(data: bytes) -> Iterator[Any]:
    """The records, with names that may be of any bytes; what else is wrong is still an error."""
    batch = _default_records._DefaultRecordBatchPy(data)
    batch._maybe_uncompress()
    batch._buffer = _Buffer(batch._buffer)
    return iter(batch)


class _Buffer(bytearray):
    """Its parts are texts of any bytes."""

    def __getitem__(self, key: Any) -> Any:
        part = cast(Any, super()).__getitem__(key)
        return _Buffer(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)
