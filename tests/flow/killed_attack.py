# SPDX-License-Identifier: Apache-2.0
"""Attack an album, killed around a file that is written or deleted, then resume, and compare.

Run as a program: folder of the album, folder for the package of plugins, number of instants.
Prints how many files the whole takes, and the digests of the results, which have to be equal.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import skimage.metrics  # noqa: F401  once, not in every child
import sklearn.covariance  # noqa: F401  once, not in every child

from tests.unit.attack.drawn_attack import QUICK, Album, planted_plugins
from veilset.attack.stage import attack_dataset

CONFIG = replace(
    QUICK, settings=QUICK.settings[:1], attacks=("recognise", "parrot-embeddings"), shard_size=8
)
RESULTS = ("results.parquet", "results.csv", "summary.csv", "summary.md", "frontier.svg")

_replace, _rename = Path.replace, Path.rename


def kill_at(instant: int) -> None:
    """Let this process be killed around the n-th renaming: even before it, odd after it."""
    seen = 0

    def step(is_after: bool) -> None:
        nonlocal seen
        if seen == instant // 2 and instant % 2 == is_after:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += is_after

    def replaced(self: Path, target: str | os.PathLike[str]) -> Path:
        step(is_after=False)
        result = _replace(self, target)
        step(is_after=True)
        return result

    def renamed(self: Path, target: str | os.PathLike[str]) -> Path:
        step(is_after=False)
        result = _rename(self, target)
        step(is_after=True)
        return result

    # For this process only, which is about to be killed.
    Path.replace, Path.rename = replaced, renamed  # type: ignore[method-assign,assignment]


def in_child(album: Album, instant: int | None) -> bool:
    """Attack in a child process; say whether it ended by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if instant is not None:
                kill_at(instant)
            attack_dataset(album.photos, album.annotations, album.out, CONFIG, workers=1)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit("the child failed")
    return not os.WIFSIGNALED(status)


def digest(out: Path) -> str:
    """Give a digest of the results, and what was left behind."""
    total = sha256()
    for name in RESULTS:
        total.update(name.encode() + (out / name).read_bytes())
    for path in sorted((out / "outcomes").rglob("*.json")):
        total.update(path.read_bytes())
    left = [path.name for path in out.rglob(".veilset-part-*")]
    left += ["private"] if (out / "look" / "private").exists() else []
    return total.hexdigest() + "".join(left)


def main() -> None:
    """Count the instants, kill at some of them, resume, compare."""
    album, n_wanted = Album(Path(sys.argv[1])), int(sys.argv[3])
    with planted_plugins(Path(sys.argv[2])):
        in_child(album, None)
        digests = {digest(album.out)}
        n_files = sum(1 for path in album.out.rglob("*") if path.is_file())
        # First and last ones, where a run begins and private files go, and some between.
        chance = random.Random(n_wanted)
        instants = chance.sample(range(2 * n_files + 20), n_wanted)
        n_killed = 0
        for instant in sorted(instants):
            shutil.rmtree(album.out)
            if in_child(album, instant):
                continue
            n_killed += 1
            if not in_child(album, None):
                raise SystemExit("the resumed run was killed")
            digests.add(digest(album.out))
    print(json.dumps({"n_killed": n_killed, "digests": sorted(digests)}))  # noqa: T201  to who started it


if __name__ == "__main__":
    main()
