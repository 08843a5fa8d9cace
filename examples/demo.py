# SPDX-License-Identifier: Apache-2.0
"""The main job on public-domain photographs: ``make demo``.

python examples/demo.py FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from demo_photos import make_photos


def main() -> int:
    """Make the photographs, run Veilset on them, and say where the report is."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    shutil.rmtree(folder, ignore_errors=True)
    photos, private = folder / "photos", folder / "private"
    print(f"{len(make_photos(photos))} public-domain photographs are in {photos}.")
    command = ["veilset", "run", str(photos), str(private)]
    print("$", *command, flush=True)
    program = Path(sys.executable).with_name("veilset")
    code = subprocess.run([program, *command[1:]], check=False).returncode
    print(f"The data set without faces: {private}")
    print(f"The report:                 {private}.veilset/report.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
