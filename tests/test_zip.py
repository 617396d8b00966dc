"""Zip archives, beside zarr-python's ZipStore and Python's zipfile."""

import pickle
import shutil
import warnings
import zipfile

import fuzarr
import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

import servers
import shell

VALUES = np.arange(40 * 30, dtype="i4").reshape(40, 30)

LAYOUTS = {
    "chunks": {"chunks": (10, 10)},
    "shards": {"chunks": (5, 5), "shards": (20, 20)},
    "v2": {"chunks": (10, 10), "zarr_format": 2},
}


def entries(path):
    """What Python's zipfile, which checks all checksums, finds in an archive."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(set(names)) == len(names)
        return {name: archive.read(name) for name in names}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_zarr_wrote_fuzarr_reads(tmp_path, layout, method):
    path = tmp_path / "x.zip"
    with ZipStore(path, mode="w", compression=method) as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        options = dict(LAYOUTS[layout])
        group = zarr.create_group(store, zarr_format=options.pop("zarr_format", 3))
        array = group.create_array("a/b", shape=VALUES.shape, dtype="i4", **options)
        array[...] = -VALUES
        array[...] = VALUES
        group.attrs["colour"] = "blue"
    before = path.read_bytes()
    array = fuzarr.open(f"{path}/a/b", mode="r")
    np.testing.assert_array_equal(array[...], VALUES)
    np.testing.assert_array_equal(array[3:17:2, 8:12], VALUES[3:17:2, 8:12])
    group = fuzarr.open(path, mode="r")
    assert dict(group.attrs) == {"colour": "blue"}
    np.testing.assert_array_equal(group["a/b"][5], VALUES[5])
    assert path.read_bytes() == before
    with ZipStore(path, mode="r") as store:
        np.testing.assert_array_equal(fuzarr.open(store, path="a/b", mode="r")[...], VALUES)


def test_a_zip_store_that_writes_is_not_fuzarrs(tmp_path):
    with (
        ZipStore(tmp_path / "x.zip", mode="w") as store,
        pytest.raises(fuzarr.errors.UnsupportedError, match="ZipStore"),
    ):
        fuzarr.open(store)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("at_close", [True, False])
def test_what_fuzarr_wrote_zarr_reads(tmp_path, layout, at_close):
    path = tmp_path / "x.zip"
    options = {"shape": VALUES.shape, "dtype": "i4", "fill_value": -1, **LAYOUTS[layout]}
    if at_close:
        with fuzarr.Store.zip(path) as store:
            fuzarr.create_array(store, name="a/b", **options)[...] = VALUES
            assert not path.exists()
    else:
        fuzarr.create_array(path, name="a/b", **options)[...] = VALUES
    expected = VALUES.copy()
    array = fuzarr.open_array(path, path="a/b")
    array[3:17, 8:12] = expected[3:17, 8:12] = -5
    array[20:, 20:] = expected[20:, 20:] = -1
    entries(path)
    with ZipStore(path, mode="r") as store:
        theirs = zarr.open_array(store, path="a/b", mode="r")
        np.testing.assert_array_equal(theirs[...], expected)
    with zipfile.ZipFile(path) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.external_attr >> 16 & 0o777 for info in archive.infolist()} == {0o644}


def test_zarr_goes_on_where_fuzarr_stopped(tmp_path):
    path = tmp_path / "x.zip"
    array = fuzarr.create_array(path, name="a", shape=(20, 30), dtype="i4", chunks=(10, 10))
    array[...] = VALUES[:20]
    with ZipStore(path, mode="a") as store, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.open_array(store, path="a")[5:15] = -1
    expected = VALUES[:20].copy()
    expected[5:15] = -1
    # The handle from before sees it, and what is there twice is there once after the next change.
    np.testing.assert_array_equal(array[...], expected)
    array[0] = expected[0] = 7
    entries(path)
    np.testing.assert_array_equal(array[...], expected)


def test_sizes_that_follow_wide_sizes_and_comments(tmp_path):
    folder, path = tmp_path / "x.zarr", tmp_path / "x.zip"
    fuzarr.create_array(folder, shape=VALUES.shape, dtype="i4", chunks=(10, 10))[...] = VALUES

    class Pipe:
        """What cannot be sought."""

        def __init__(self, file):
            self.write, self.flush = file.write, file.flush

    with path.open("wb") as file, zipfile.ZipFile(Pipe(file), "w") as archive:
        archive.comment = b"about this"
        for number, name in enumerate(sorted(folder.rglob("*"))):
            if name.is_file():
                member = zipfile.ZipInfo(str(name.relative_to(folder)))
                member.compress_type = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][number % 2]
                with archive.open(member, "w", force_zip64=number % 3 == 0) as entry:
                    entry.write(name.read_bytes())
    array = fuzarr.open_array(path)
    np.testing.assert_array_equal(array[...], VALUES)
    array[0, 0] = 99
    assert array[0, 0] == 99
    np.testing.assert_array_equal(array[1:], VALUES[1:])
    entries(path)
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == b"about this"


def test_more_entries_than_16_bits_count(tmp_path):
    path = tmp_path / "x.zip"
    with fuzarr.Store.zip(path) as store:
        array = fuzarr.create_array(
            store, shape=(70_000,), dtype="u2", chunks=(1,), compressors=None, fill_value=0
        )
        array[...] = np.arange(70_000) % 60_000 + 1
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 70_001
        assert archive.read("c/69999") == (69_999 % 60_000 + 1).to_bytes(2, "little")
    assert fuzarr.open_array(path, mode="r")[69_999] == 10_000


def test_what_fails_in_a_with_block_is_not_written(tmp_path):
    path = tmp_path / "x.zip"
    store = fuzarr.Store.zip(path)

    def fail_half_way():
        with store:
            fuzarr.create_array(store, shape=(3,), dtype="i4")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert not path.exists()
    store.discard()
    store.close()
    assert not path.exists()


def test_what_is_no_archive_or_has_no_options(tmp_path):
    for wrong in (tmp_path / "x.zarr", "memory://x", "x.zip/a", "s3://bucket/x.zarr"):
        with pytest.raises(ValueError, match="archive"):
            fuzarr.Store.zip(wrong)
    with pytest.raises(ValueError, match="storage_options"):
        fuzarr.Store.zip(tmp_path / "x.zip", {"region": "here"})


def test_a_file_of_no_bytes_is_an_archive_to_be_made(tmp_path):
    path = tmp_path / "x.zip"
    made = {
        "open": lambda: fuzarr.open(path, mode="a", shape=(3,), dtype="i4"),
        "w-": lambda: fuzarr.open(path, mode="w-", shape=(3,), dtype="i4"),
        "array": lambda: fuzarr.create_array(path, shape=(3,), dtype="i4"),
        "group": lambda: fuzarr.open_group(path),
        "shell": lambda: shell.fuzarr(
            "create", path, "--shape", "3", "--chunks", "3", "--dtype", "int32"
        ),
        "copy": lambda: shell.fuzarr("copy", source, path),
    }
    source = tmp_path / "source.zarr"
    fuzarr.create_array(source, shape=(3,), dtype="i4")[...] = 1
    for name, make in made.items():
        path.write_bytes(b"")
        for mode in ("r", "r+"):
            with pytest.raises(fuzarr.errors.CorruptError, match="no bytes"):
                fuzarr.open(path, mode=mode)
        make()
        assert "zarr.json" in entries(path), name
    path.write_bytes(b"")
    with fuzarr.Store.zip(path) as store:
        fuzarr.create_array(store, name="a", shape=(3,), dtype="i4")[...] = 2
    assert fuzarr.open(path, path="a", mode="r")[...].tolist() == [2, 2, 2]


def test_two_writers_conflict(tmp_path):
    path = tmp_path / "x.zip"
    one, other = fuzarr.Store.zip(path), fuzarr.Store.zip(path)
    fuzarr.create_group(one)
    fuzarr.create_group(other)
    one.close()
    with pytest.raises(fuzarr.errors.ConflictError):
        other.close()
    other.discard()


def test_addresses(tmp_path):
    path = tmp_path / "x y.zip"
    url = "file://" + str(path).replace(" ", "%20")
    array = fuzarr.create_array(f"{url}/a", name="b", shape=(3,), dtype="i4")
    array[...] = 4
    assert sorted(fuzarr.open_group(path)["a"]) == ["b"]
    renamed = shutil.copy(path, tmp_path / "data.bin")
    for address in (f"{url}/a/b", f"{url}|zip:a/b", f"{url}|zip:a/b|zarr3:", f"{renamed}|zip:a/b"):
        opened = fuzarr.open(address, mode="r")
        assert opened[...].tolist() == [4, 4, 4]
        again = pickle.loads(pickle.dumps(opened))
        assert again == opened
        assert again[0] == 4
    with pytest.raises(fuzarr.errors.UnsupportedError, match=r"\|zip:"):
        fuzarr.open(renamed, mode="r")
    assert fuzarr.open(f"{path}/a").store == fuzarr.open(path).store
    assert fuzarr.open(path).store.path == path
    with pytest.raises(fuzarr.errors.NotFoundError):
        fuzarr.open(tmp_path / "none.zip", mode="r")
    assert not (tmp_path / "none.zip").exists()


def test_memory_has_names():
    fuzarr.create_array("memory://one/a", shape=(3,), dtype="i4")[...] = 5
    assert fuzarr.open("memory://one", mode="r")["a"][...].tolist() == [5, 5, 5]
    assert fuzarr.open("memory://one/a", mode="r") == fuzarr.open("memory://one", path="a")
    with pytest.raises(fuzarr.errors.NotFoundError):
        fuzarr.open("memory://two", mode="r")
    with pytest.raises(TypeError, match="memory"):
        pickle.dumps(fuzarr.open("memory://one/a"))


def test_every_command_works_in_an_archive(tmp_path):
    path = tmp_path / "x.zip"
    node = f"{path}/a/b"
    shell.fuzarr("create", node, "--shape", "6,8", "--dtype", "int16", "--chunks", "2,2")
    shell.fuzarr("put", node, "1:3", "7")
    np.save(tmp_path / "row.npy", np.arange(8, dtype="i2"))
    shell.fuzarr("put", node, "0", tmp_path / "row.npy")
    names = entries(path)
    assert "a/b/zarr.json" in names
    before = (path.stat().st_ino, path.stat().st_mtime_ns)
    assert shell.fuzarr("info", node, "--json").json()["shape"] == [6, 8]
    assert "b" in shell.fuzarr("tree", f"{path}/a").out
    assert shell.fuzarr("get", node, "0, 2:4").out.split() == ["[2", "3]"]
    shell.fuzarr("get", node, "0:2", "-o", tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").tolist() == [list(range(8)), [7] * 8]
    shell.fuzarr("explain", node, "0", "--exact")
    shell.fuzarr("verify", path)
    shell.fuzarr("copy", node, tmp_path / "out.zarr", "--chunks", "3,3", "--verify")
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == before
    shell.fuzarr("copy", tmp_path / "out.zarr", f"{tmp_path}/new/y.zip/c/d", "--verify")
    with ZipStore(tmp_path / "new" / "y.zip", mode="r") as store:
        theirs = zarr.open_array(store, path="c/d", mode="r")
        assert theirs[:2].tolist() == [list(range(8)), [7] * 8]
    shell.fuzarr("attrs", node, "--set", "units=1")
    shell.fuzarr("create", f"{path}/g/a", "--shape", "3", "--dtype", "i4", "--chunks", "2")
    shell.fuzarr("consolidate", f"{path}/g")
    assert b"consolidated_metadata" in entries(path)["g/zarr.json"]
    shell.fuzarr("mv", node, f"{path}/a/moved")
    assert shell.fuzarr("attrs", f"{path}/a/moved").json() == {"units": 1}
    entries(path)
    shell.fuzarr("rm", f"{path}/a/moved")
    assert not any(name.startswith("a/moved") for name in entries(path))
    shell.fuzarr("info", f"{path}/a/moved", code=2)
    shell.fuzarr("info", tmp_path / "none.zip", code=2)
    assert shell.fuzarr("info", "memory://x", code=2).err.count("memory://") >= 1
    shell.fuzarr("rm", "-r", tmp_path / "new" / "y.zip" / "c")
    assert not any(name.startswith("c/") for name in entries(tmp_path / "new" / "y.zip"))
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-9])
    assert "zip archive" in shell.fuzarr("info", tmp_path / "cut.zip", code=1).err


def test_archives_in_buckets():
    with servers.test_server() as server:
        url = server.url("f/x.zip")
        array = fuzarr.create_array(
            f"{url}/a",
            name="b",
            shape=VALUES.shape,
            dtype="i4",
            chunks=(5, 5),
            shards=(20, 15),
            compressors=None,
            storage_options=server.options,
        )
        array[...] = VALUES
        server.requests()
        opened = fuzarr.open(f"{url}|zip:a/b", mode="r", storage_options=server.options)
        np.testing.assert_array_equal(opened[3:7, 20:22], VALUES[3:7, 20:22])
        requests = server.requests()
        assert {method for method, *_ in requests} == {"GET"}
        assert all(read for _, _, _, read, _ in requests)
        again = pickle.loads(pickle.dumps(opened))
        np.testing.assert_array_equal(again[...], VALUES)
        with fuzarr.Store.zip(url, server.options) as store:
            fuzarr.open_array(store, path="a/b")[0] = 9
        assert opened[0, 0] == 9
        pairs = [f"{name}={value}" for name, value in server.options.items()]
        options = [word for pair in pairs for word in ("--storage-option", pair)]
        assert shell.fuzarr("get", f"{url}/a/b", "0, :3", *options).out.split() == ["[9", "9", "9]"]
        shell.fuzarr("put", f"{url}/a/b", "0, 0", "8", *options)
        assert opened[0, 0] == 8
        shell.fuzarr("verify", *options, url)


def test_no_message_shows_the_value_of_an_option():
    secret = "correct-horse"
    for option in (f"secret_access_kye={secret}", secret, f"={secret}"):
        outcome = shell.fuzarr("info", "s3://bucket/x.zarr", "--storage-option", option, code=2)
        assert secret not in outcome.err + outcome.out
    with servers.test_server() as server:
        options = {**server.options, "secret_access_key": secret}
        pairs = [f"{name}={value}" for name, value in options.items()]
        words = [word for pair in pairs for word in ("--storage-option", pair)]
        outcome = shell.fuzarr("info", server.url("none.zip"), "--json", *words, code=2)
        assert secret not in outcome.err + outcome.out


def test_a_store_with_changes_is_not_pickled_and_not_dropped_in_silence(tmp_path):
    path = tmp_path / "x.zip"
    store = fuzarr.Store.zip(path)
    array = fuzarr.create_array(store, shape=(3,), dtype="i4")
    for object in (store, array):
        with pytest.raises(TypeError, match="close it first"):
            pickle.dumps(object)
    store.close()
    assert pickle.loads(pickle.dumps(array)).shape == (3,)
    # One is written at the end of each request, the other when it is closed.
    assert store != fuzarr.open(path).store
    array[...] = 4
    with pytest.warns(ResourceWarning, match="not closed"):
        del store, array, object
    assert fuzarr.open(path)[...].tolist() == [0, 0, 0]


def test_changes_are_discarded_after_a_conflict(tmp_path):
    path = tmp_path / "x.zip"
    fuzarr.create_array(path, shape=(3,), dtype="i4")
    store = fuzarr.Store.zip(path)
    array = fuzarr.open_array(store)
    array[...] = 4
    fuzarr.open_array(path)[...] = 5
    with pytest.raises(fuzarr.errors.ConflictError):
        store.close()
    store.discard()
    assert array[...].tolist() == [5, 5, 5]
    array[0] = 6
    store.close()
    assert fuzarr.open_array(path)[...].tolist() == [6, 5, 5]


def test_an_archive_keeps_its_permissions(tmp_path):
    path = tmp_path / "x.zip"
    array = fuzarr.create_array(path, shape=(3,), dtype="i4")
    path.chmod(0o600)
    array[...] = 1
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o400)
    with pytest.raises(fuzarr.errors.StoreError, match="read-only"):
        array[...] = 2
    assert array[...].tolist() == [1, 1, 1]
