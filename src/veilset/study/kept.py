# SPDX-License-Identifier: Apache-2.0
"""Decoded pictures of a setting, kept in one file that all processes of a machine map.

What is kept are pixels of originals, or of what a layer made of them: the folder is private, lies
in the study's own, and the last process that used it removes it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from PIL import Image as PillowImage

from veilset.errors import DatasetError, RunError
from veilset.files import discard_part, make_private, part_path, sha256_hex, writing
from veilset.images.pictures import reader_errors
from veilset.locks import Answer, try_lock
from veilset.study.claims import wait_for_lock
from veilset.study.pictures import FileSource, PictureSource, named_errors
from veilset.types import Image

FORMAT = "veilset-study-kept/1"
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pixels", pa.large_binary()),
    ],
    metadata={"veilset": FORMAT},
)
# Pictures in a record batch of the file; this many are in memory while it is written.
PER_BATCH = 32


class KeptPictures:
    """Pictures from a file of decoded pixels. Pickles as its path.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        """Open a file that ``KeptFolder`` wrote.

        Raises:
            RunError: If it is missing or damaged.
        """
        self.path = path
        try:
            with pa.memory_map(str(path)) as mapped:
                reader = pa.ipc.open_file(mapped)
                if not reader.schema.equals(SCHEMA, check_metadata=True):
                    raise pa.ArrowInvalid("another schema")
                # The batches keep the mapping alive; no pixel is read for this.
                self._batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (pa.ArrowException, OSError) as error:
            raise RunError(
                f"{path} is missing or damaged. Delete its folder, then run the study again."
            ) from error
        self._at = {
            image_id: (index, row)
            for index, batch in enumerate(self._batches)
            for row, image_id in enumerate(batch.column("image_id").to_pylist())
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)

    def pixels(self, image_id: str) -> Image:
        """Give the pixels of a picture in stored orientation; read-only, not copied.

        Raises:
            DatasetError: If the file does not hold it.
        """
        if image_id not in self._at:
            raise DatasetError(f"{self.path} does not hold {image_id}. Run without kept pixels.")
        index, row = self._at[image_id]
        batch = self._batches[index]
        shape = batch.column("height")[row].as_py(), batch.column("width")[row].as_py(), 3
        return np.frombuffer(batch.column("pixels")[row].as_buffer(), np.uint8).reshape(shape)

    def read(self, image_id: str) -> PillowImage.Image:
        """Give a picture; errors as ``pixels``."""
        return PillowImage.fromarray(self.pixels(image_id))


class KeptFolder:
    """The private folder of kept pixels, while processes of a study use it.

    Used as a context. Whoever leaves it last removes the folder; that of a study that was
    killed goes with the next one that ends.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        """Name the folder.

        Args:
            folder: Where it is, or will be.
            limit_bytes: Most bytes of pixels of one list of images in one setting; what
                would need more is not kept. 0 keeps nothing.
        """
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._lock = -1

    def __enter__(self) -> Self:
        with writing(self.folder):
            while self._lock < 0:
                make_private(self.folder)
                self._lock = _shared_lock(self.folder / "lock")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            # While another process uses it, that one will remove it.
            if try_lock(self._lock) is Answer.OURS:
                shutil.rmtree(self.folder)
        finally:
            os.close(self._lock)
            self._lock = -1

    def keep(self, source: PictureSource, image_ids: Sequence[str]) -> PictureSource:
        """Give a source of the same pictures, decoded once, if they are not too many.

        Args:
            source: Gives the pictures.
            image_ids: Those that will be asked for.

        Returns:
            ``KeptPictures``; or ``source`` itself, if its pictures do not come from files of
            their own, or are more than the limit.

        Raises:
            DatasetError: If a picture cannot be had.
            RunError: If the file cannot be written.
        """
        if not (self.limit_bytes and isinstance(source, FileSource)):
            return source
        digest = _digest(source, image_ids, self.limit_bytes)
        if digest is None:
            return source
        path = self.folder / f"{digest[:32]}.arrow"
        if not path.exists():
            with writing(self.folder), _alone(path.with_suffix(".lock")):
                # Somebody may have written it while this process waited.
                if not path.exists() and fits(source, image_ids, self.limit_bytes):
                    _write(path, source, image_ids)
        return KeptPictures(path) if path.exists() else source


def _shared_lock(path: Path) -> int:
    """Open and lock a file; -1 if it was removed in between."""
    try:
        lock = wait_for_lock(path, is_shared=True)
    except FileNotFoundError:
        return -1
    with suppress(FileNotFoundError):
        if path.stat().st_ino == os.fstat(lock).st_ino:
            return lock
    os.close(lock)
    return -1


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = wait_for_lock(path)
    try:
        yield
    finally:
        os.close(lock)


def _digest(source: FileSource, image_ids: Sequence[str], limit_bytes: int) -> str | None:
    """Name all that decides the pixels; None as soon as the files alone are over the limit.

    Sizes alone would not do: an image of BMP that was made again has the size that it had.
    """
    lines, n_bytes = [source.identity()], 0
    for image_id in image_ids:
        path = source.path(image_id)
        try:
            facts = path.stat()
        except OSError as error:
            raise DatasetError(
                f"{source.setting}/{image_id} cannot be read ({error.strerror}). Put the file back."
            ) from error
        n_bytes += facts.st_size
        if n_bytes > limit_bytes:
            return None
        lines.append(f"{path.absolute()}\t{facts.st_size}\t{facts.st_mtime_ns}")
    return sha256_hex("\n".join(lines).encode())


def fits(source: FileSource, image_ids: Sequence[str], limit_bytes: int) -> bool:
    """Whether the decoded pictures are within the limit; reads headers until they are not."""
    n_bytes = 0
    for image_id in image_ids:
        with (
            named_errors(source.setting, image_id),
            reader_errors("image"),
            PillowImage.open(source.path(image_id)) as header,
        ):
            n_bytes += header.width * header.height * 3
        if n_bytes > limit_bytes:
            return False
    return True


def _write(path: Path, source: PictureSource, image_ids: Sequence[str]) -> None:
    part = part_path(path)
    try:
        with ExitStack() as stack:
            stream = stack.enter_context(part.open("wb"))
            part.chmod(0o600)
            writer = stack.enter_context(pa.ipc.new_file(stream, SCHEMA))
            for start in range(0, len(image_ids), PER_BATCH):
                chosen = image_ids[start : start + PER_BATCH]
                writer.write_batch(_record_batch(source, chosen))
        part.replace(path)
    except BaseException:
        discard_part(part)
        raise


def _record_batch(source: PictureSource, image_ids: Sequence[str]) -> pa.RecordBatch:
    pictures = [source.read(image_id) for image_id in image_ids]
    return pa.RecordBatch.from_pydict(
        {
            "image_id": list(image_ids),
            "width": [picture.width for picture in pictures],
            "height": [picture.height for picture in pictures],
            "pixels": [picture.tobytes() for picture in pictures],
        },
        schema=SCHEMA,
    )
