# SPDX-License-Identifier: Apache-2.0
"""What containers cost: processor time for each image, without any work on the image.

A tar file is listed, from its headers alone. A Parquet file is listed from its footer; its images
are copied out, and are written into a new file, which is compared with the first.

python benchmarks/layouts.py [--samples 4000] [--group 100] [--repeats 3]
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.dataset.containers import ContainerWriter
from veilset.dataset.parquet import ParquetReader
from veilset.dataset.webdataset import WebDatasetReader

N_BYTES = 100_000
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SCHEMA = pa.schema([("image", IMAGE), ("label", pa.int64()), ("caption", pa.string())])


def pack(path: Path, n_samples: int) -> None:
    """Write a tar file of samples: something that begins like a JPEG, a caption, a label."""
    picture = b"\xff\xd8\xff" + os.urandom(N_BYTES)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for at in range(n_samples):
            for ending, data in (("jpg", picture), ("txt", b"a caption"), ("cls", b"7")):
                info = tarfile.TarInfo(f"{at:08d}.{ending}")
                info.size, info.mtime = len(data), 1_700_000_000
                tar.addfile(info, io.BytesIO(data))


def store(path: Path, n_samples: int, n_group: int) -> None:
    """Write a Parquet file of the same, ``n_group`` rows in a row group."""
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for start in range(0, n_samples, n_group):
            rows = [
                {
                    "image": {"bytes": b"\xff\xd8\xff" + os.urandom(N_BYTES), "path": f"{at}.jpg"},
                    "label": 7,
                    "caption": "a caption",
                }
                for at in range(start, min(n_samples, start + n_group))
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))


@contextmanager
def measured(what: str, n_images: int) -> Iterator[None]:
    """Print the processor time of a block, and the peak memory of the process so far."""
    started = time.process_time()
    yield
    spent_ms = (time.process_time() - started) * 1000
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what}, {n_images:,} images: {spent_ms / n_images:.4f} ms each, {peak_mb:.0f} MB")


def measure_tar(folder: Path, n_samples: int) -> None:
    """List a tar file."""
    with measured("list a tar file", n_samples):
        WebDatasetReader(folder).count()


def measure_parquet(folder: Path, out: Path, n_samples: int) -> None:
    """Take a Parquet file through all that is done with it."""
    reader, writer = ParquetReader(folder), ContainerWriter(out)
    with measured("list a Parquet file", n_samples):
        shard = next(iter(reader.shards()))
    with measured("copy images out of a Parquet file", n_samples), reader.open_shard(shard):
        pass
    with (
        measured("read them and write the file anew", n_samples),
        reader.open_shard(shard) as source,
        writer.open_shard(shard, source) as target,
    ):
        for record in shard.records:
            target.write(record, source.read(record))
    with reader.open_shard(shard) as source:
        sizes = {record.image_id: N_BYTES + 3 for record in shard.records}
        with (
            writer.store.open(shard.container) as other,
            measured("compare the two", n_samples),
        ):
            difference = source.find_difference(other, sizes)
    if difference:
        raise SystemExit(difference)


def main() -> None:
    """Print the time of each repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--group", type=int, default=100, help="rows in a row group")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as base:
        tars, files = Path(base) / "tar", Path(base) / "parquet"
        tars.mkdir()
        files.mkdir()
        pack(tars / "x.tar", options.samples)
        # In a process of its own: the memory that it takes is not to be counted.
        words = (files / "x.parquet", options.samples, options.group)
        maker = get_context("spawn").Process(target=store, args=words)
        maker.start()
        maker.join()
        for _ in range(options.repeats):
            measure_tar(tars, options.samples)
            measure_parquet(files, Path(base) / "out", options.samples)


if __name__ == "__main__":
    main()
