"""The main job on real data: MRI volumes that nibabel ships, stored, read, changed in part, copied
into other layouts, verified and compared.

Usage: demo.py --fuzarr target/release/fuzarr [--keep FOLDER]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np

# Name, file among nibabel's test data, inner chunk, shard.
VOLUMES = (
    ("anatomical", "anatomical.nii", (16, 16, 16), (48, 48, 32)),
    ("functional", "functional.nii", (17, 21, 3, 4), (17, 21, 3, 20)),
    ("example4d", "example4d.nii.gz", (32, 32, 8, 1), (64, 96, 24, 2)),
)


def load(file):
    """The stored integers of a volume, in native byte order (the scanner's units, not scaled)."""
    image = nibabel.load(Path(nibabel.__file__).parent / "tests" / "data" / file)
    data = np.asarray(image.dataobj.get_unscaled())
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


class Demo:
    """Runs the binary, shows each command as one would type it, and takes the time."""

    def __init__(self, binary, folder):
        self.binary, self.folder = Path(binary).resolve(), folder

    def run(self, *arguments, show=True):
        typed = [f"'{text}'" if set(text) & set(" :*") else text for text in arguments]
        print(f"\n$ fuzarr {' '.join(typed)}")
        start = time.perf_counter()
        done = subprocess.run(
            [self.binary, *arguments], cwd=self.folder, capture_output=True, text=True
        )
        seconds = time.perf_counter() - start
        if show or done.returncode:
            print(
                "".join(f"  {line}\n" for line in (done.stdout + done.stderr).splitlines()), end=""
            )
        print(f"  [{1000 * seconds:.1f} ms]")
        if done.returncode:
            sys.exit(f"the demo stopped: exit code {done.returncode}")
        return seconds

    def volume(self, name, data, chunk, shard):
        """Stores one volume and reads it back; its row of the table."""
        array = f"mri.zarr/{name}"
        np.save(self.folder / f"{name}.npy", data)
        self.run(
            *("create", array, "--shape", ",".join(map(str, data.shape))),
            *("--dtype", data.dtype.name, "--chunks", ",".join(map(str, chunk))),
            *("--shards", ",".join(map(str, shard)), "--codecs", "zstd:3"),
        )
        write = self.run("put", array, "...", f"{name}.npy")
        self.run("info", array)
        read = self.run("get", array, "...", "-o", f"{name}-back.npy")
        back = np.load(self.folder / f"{name}-back.npy")
        same = back.dtype == data.dtype and np.array_equal(back, data)
        print(f"  read back {'equal to the source' if same else 'DIFFERENT FROM THE SOURCE'}")
        files = (self.folder / array).rglob("*")
        stored = sum(file.stat().st_size for file in files if file.is_file())
        return name, data, stored, write, read, same

    def change(self, name, data, chunk, shard):
        """Writes one inner chunk of a shard: all others keep their bytes."""
        path = self.folder / f"mri.zarr/{name}" / "c" / "/".join("0" * data.ndim)
        before = path.read_bytes()
        where = tuple(slice(0, length) for length in chunk)
        data = data.copy()
        data[where] = data[where][::-1]
        np.save(self.folder / "part.npy", data[where])
        selection = ", ".join(f"0:{length}" for length in chunk)
        seconds = self.run("put", f"mri.zarr/{name}", selection, "part.npy")
        after = path.read_bytes()
        kept, inner = self.same_chunks(before, after, chunk, shard)
        print(
            f"  a shard of {len(after):,} bytes, {inner} inner chunks: "
            f"{kept} of them have the bytes they had"
        )
        self.run("get", f"mri.zarr/{name}", "...", "-o", "back.npy", show=False)
        same = np.array_equal(np.load(self.folder / "back.npy"), data)
        print(f"  read back {'equal to what it should be' if same else 'DIFFERENT'}")
        return seconds, same and kept >= inner - 1

    @staticmethod
    def same_chunks(before, after, chunk, shard):
        """How many inner chunks of a shard have the same bytes in both, and how many there are."""
        slots = int(np.prod([s // c for s, c in zip(shard, chunk, strict=True)]))

        def chunks(stored):
            index = np.frombuffer(stored[-16 * slots - 4 : -4], "<u8").reshape(slots, 2)
            return [stored[at : at + length] for at, length in index.tolist()]

        pairs = zip(chunks(before), chunks(after), strict=True)
        return sum(old == new for old, new in pairs), slots

    def copies(self):
        """Copies into other layouts, each compared with its source."""
        self.run(
            *("copy", "mri.zarr/example4d", "slices.zarr", "--chunks", "128,96,1,1"),
            *("--shards", "none", "--codecs", "blosc:lz4", "--verify"),
        )
        self.run("get", "slices.zarr", "60:64, 48, ::6, 0")
        self.run("copy", "mri.zarr", "old.zarr", "--format", "v2", "--shards", "none", "--verify")
        self.run("tree", "old.zarr")


def table(rows):
    print(
        f"\n{'volume':<12}{'shape':<20}{'type':<7}{'bytes':>10}{'stored':>10}{'ratio':>7}", end=""
    )
    print(f"{'write':>10}{'read':>10}  read back")
    for name, data, stored, write, read, same in rows:
        shape = " x ".join(map(str, data.shape))
        ratio = data.nbytes / stored
        print(f"{name:<12}{shape:<20}{data.dtype.name:<7}{data.nbytes:>10,}{stored:>10,}", end="")
        print(f"{ratio:>7.2f}{1000 * write:>7.1f} ms{1000 * read:>7.1f} ms", end="  ")
        print("equal" if same else "DIFFERENT")
    print(
        "(times are of the whole command, starting the process included; the first two volumes were"
    )
    print(
        "scaled to the whole range of int16 when they were made, which leaves little to compress)"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fuzarr", required=True, help="the binary to run")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave the store there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        demo = Demo(options.fuzarr, folder)
        print(
            "Three MRI volumes of nibabel's test data, chunked, sharded and compressed with zstd."
        )
        rows = [demo.volume(name, load(file), *layout) for name, file, *layout in VOLUMES]
        print("\nThe store, some slices of it, and the check of everything stored:")
        demo.run("tree", "mri.zarr")
        demo.run("get", "mri.zarr/example4d", "60:64, 48, ::6, 0")
        demo.run("get", "mri.zarr/functional", "8, 10, 1, ::-1")
        print("\nOne inner chunk of a shard changed, and the whole copied into other layouts:")
        name, file, *layout = VOLUMES[2]
        change, changed = demo.change(name, load(file), *layout)
        demo.copies()
        verify = demo.run("verify", "mri.zarr")
        table(rows)
        total = sum(data.nbytes for _, data, *_ in rows)
        print(f"verify read and decoded {total:,} bytes of elements in {1000 * verify:.1f} ms")
        print(f"changing one inner chunk of a shard took {1000 * change:.1f} ms")
        if not all(row[-1] for row in rows) or not changed:
            sys.exit(1)


if __name__ == "__main__":
    main()
