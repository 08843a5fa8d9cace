# SPDX-License-Identifier: Apache-2.0
"""What it costs to list a tar file: processor time for each sample, from its headers alone.

python benchmarks/layouts.py [--samples 4000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import io
import os
import tarfile
import tempfile
import time
from pathlib import Path

from veilset.dataset.webdataset import WebDatasetReader

N_BYTES = 100_000


def pack(path: Path, n_samples: int) -> None:
    """Write a tar file of samples: something that begins like a JPEG, a caption, a label."""
    picture = b"\xff\xd8\xff" + os.urandom(N_BYTES)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for at in range(n_samples):
            for ending, data in (("jpg", picture), ("txt", b"a caption"), ("cls", b"7")):
                info = tarfile.TarInfo(f"{at:08d}.{ending}")
                info.size, info.mtime = len(data), 1_700_000_000
                tar.addfile(info, io.BytesIO(data))


def main() -> None:
    """Print the time of each repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pack(Path(folder) / "x.tar", options.samples)
        for _ in range(options.repeats):
            started = time.process_time()
            n_images = WebDatasetReader(Path(folder)).count()
            spent_ms = (time.process_time() - started) * 1000
            print(f"{n_images:,} samples: {spent_ms / n_images:.3f} ms each")


if __name__ == "__main__":
    main()
