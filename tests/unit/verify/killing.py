# SPDX-License-Identifier: Apache-2.0
"""Verify a release once for each file that verification writes, killed just before or after.

Run as a program: the release's folder, then how many images a shard has. Prints the number
of instants, and the digests of the results, which have to be equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.unit.verify.drawn import QUIET, Release, planted_detectors

_replace = Path.replace


def kill_at(instant: int) -> None:
    """Let this process be killed around the n-th renaming: even before it, odd after it."""
    seen = 0

    def counted(self: Path, target: str | os.PathLike[str]) -> Path:
        nonlocal seen
        if seen == instant // 2 and instant % 2 == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        result = _replace(self, target)
        if seen == instant // 2:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
        return result

    # For this process only, which is about to be killed.
    Path.replace = counted  # type: ignore[method-assign,assignment]


def in_child(release: Release, shard_size: int, instant: int | None) -> bool:
    """Verify in a child process; say whether it ended by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if instant is not None:
                kill_at(instant)
            release.verify(replace(QUIET, shard_size=shard_size))
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("the child failed")
    return not os.WIFSIGNALED(status)


def digest(release: Release) -> str:
    """Give a digest of the results; times of day and durations are left out."""
    folder = release.record / "verify"
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet" or path.name == "manifest.json":
            total.update(path.name.encode() + path.read_bytes())
    manifest = json.loads((folder / "run.json").read_bytes())
    kept = ("counts", "extra", "outputs_sha256", "n_images", "n_shards", "models")
    total.update(json.dumps([manifest[name] for name in kept]).encode())
    left = [path.name for path in folder.rglob(".veilset-part-*")]
    return total.hexdigest() + "".join(left)


def main() -> None:
    """Kill at every instant, resume, compare."""
    release, shard_size = Release(Path(sys.argv[1])), int(sys.argv[2])
    digests, instant, is_through = set(), 0, False
    with planted_detectors():
        while not is_through:
            shutil.rmtree(release.record / "verify", ignore_errors=True)
            is_through = in_child(release, shard_size, instant)
            if not is_through and not in_child(release, shard_size, None):
                raise SystemExit("the resumed run was killed")
            digests.add(digest(release))
            instant += 1
    print(json.dumps({"n_instants": instant - 1, "digests": sorted(digests)}))  # noqa: T201  to who started it


if __name__ == "__main__":
    main()
