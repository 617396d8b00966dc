"""Writers of several engines and processes on one shard at the same time: none loses an element."""

import subprocess
import sys
import threading

import numpy as np
import pytest

from shell import create, fuzarr, get, put

ELEMENTS = 64
WRITERS = 6

# Writes every so-manyth element on its own, several times over, as tensorstore does it.
TENSORSTORE = """
import sys, tensorstore
path, writer, writers, rounds = sys.argv[1], *map(int, sys.argv[2:])
array = tensorstore.open(
    {"driver": "zarr3", "kvstore": {"driver": "file", "path": path}}, open=True
).result()
print("ready", flush=True)
sys.stdin.read()
for number in range(rounds):
    for element in range(writer, array.shape[0], writers):
        array[element].write(1000 * number + element).result()
"""


@pytest.fixture
def shard(tmp_path):
    """An array of one shard."""
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    configuration = {
        "chunk_shape": [4],
        "codecs": [little, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}],
        "index_codecs": [little, {"name": "crc32c"}],
    }
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [ELEMENTS],
        "data_type": "uint32",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [ELEMENTS]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": configuration}],
    }
    create(tmp_path / "a", document)
    return tmp_path / "a"


def start_tensorstore(path, writer, rounds):
    """A process that is ready to write; it starts when its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", TENSORSTORE, str(path), str(writer), str(WRITERS), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_tensorstore_and_the_shell_lose_no_element_of_each_other(shard):
    processes = [start_tensorstore(shard, writer, rounds=20) for writer in range(0, WRITERS, 2)]
    failures = []

    def write_in_the_shell(writer):
        try:
            for number in range(3):
                for element in range(writer, ELEMENTS, WRITERS):
                    put(shard, str(element), str(1000 * number + element))
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [
        threading.Thread(target=write_in_the_shell, args=[writer])
        for writer in range(1, WRITERS, 2)
    ]
    for process in processes:
        process.stdin.close()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        assert process.wait(timeout=60) == 0
        process.stdout.close()
    assert not failures

    rounds = np.where(np.arange(ELEMENTS) % 2 == 0, 20, 3)
    expected = 1000 * (rounds - 1) + np.arange(ELEMENTS)
    np.testing.assert_array_equal(get(shard), expected)
    fuzarr("verify", shard)
    assert [path.name for path in (shard / "c").iterdir()] == ["0"]


def test_tensorstore_waits_for_a_lock_that_is_held(shard):
    """The lock is the same one, of the same kind: tensorstore does not see `flock`."""
    import fcntl
    import struct

    put(shard, "...", "7")
    whole_file = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
    set_lock_of_description = 37
    with open(shard / "c" / "0.__lock", "w") as lock:
        fcntl.fcntl(lock, set_lock_of_description, whole_file)
        process = start_tensorstore(shard, 0, rounds=1)
        process.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        writer = threading.Thread(target=put, args=(shard, "1", "8"))
        writer.start()
        writer.join(timeout=1)
        assert writer.is_alive(), "the shell did not wait for the lock"
    assert process.wait(timeout=60) == 0
    process.stdout.close()
    writer.join(timeout=60)
    read = get(shard)
    np.testing.assert_array_equal(read[::WRITERS], np.arange(0, ELEMENTS, WRITERS))
    assert (read[1], read[2]) == (8, 7)
