# SPDX-License-Identifier: Apache-2.0
"""The checks of one image that need no detector: is the file what the record promises?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veilset.annotations.known import Known, find_known
from veilset.engine.shard_work import describe_failure
from veilset.engine.steps import Steps
from veilset.errors import DatasetError, DecodeError, RunError
from veilset.files import sha256_hex
from veilset.images.compare import find_outside_changes
from veilset.images.decode import decode_image, inspect_image
from veilset.images.formats import ImageInfo
from veilset.images.renderings import decode_renderings
from veilset.metadata.clean import clean_metadata, embedded_previews, metadata_findings
from veilset.protocols import Obfuscator, Substituting
from veilset.records.outcomes import ImageOutcome, Outcome
from veilset.records.verdicts import Finding, ImageVerdict, Level, Verdict, judge
from veilset.survival import survival
from veilset.types import Image, ImageRecord, IntBoxes, Region, Status
from veilset.verify.config import VerifyConfig
from veilset.verify.contract import Contract
from veilset.verify.former import Former
from veilset.verify.redetect import is_sampled
from veilset.verify.trees import Container, Entry, Found, Trees

NO_BOXES: IntBoxes = np.zeros((0, 4), dtype=np.int64)
_OTHER_FORM = "Size, orientation or format are not the original's. Obfuscate again."


@dataclass(slots=True)
class Exam:
    """What is found out about one entry, until it becomes a row.

    Attributes:
        entry: What is known under the name.
        findings: What is wrong.
        n_regions: Regions that had to be hidden.
        sha256: Digest of the file in the output.
        n_bytes: Its size.
        max_survival: Largest survival over the regions.
        renderings: The decoded output in all ways to show it, if detectors are to search it.
        cores: ``(N, 4)``, pixels that are obfuscated.
        drawn: ``(M, 4)``, those of them in which the method drew a face.
        looked_again: Why detectors search it, "" if they do not.
        n_still_detected: Detections inside the cores, but not inside what was drawn.
        n_drawn_detected: Detections inside what was drawn.
        taken: Verdict of an earlier verification that stands instead; None without one.
    """

    entry: Entry
    findings: list[Finding] = field(default_factory=list)
    n_regions: int = 0
    sha256: str = ""
    n_bytes: int = 0
    max_survival: float | None = None
    renderings: tuple[Image, ...] = ()
    cores: IntBoxes = field(default_factory=lambda: NO_BOXES)
    drawn: IntBoxes = field(default_factory=lambda: NO_BOXES)
    looked_again: str = ""
    n_still_detected: int = 0
    n_drawn_detected: int = 0
    taken: ImageVerdict | None = None

    def add(
        self, code: str, level: Level, message: str, *,
        region: Region | None = None, score: float | None = None,
    ) -> None:  # fmt: skip
        """Note a finding."""
        box = region.box_xyxy if region else None
        self.findings.append(Finding(code, level, message, box, score))

    def verdict(self) -> ImageVerdict:
        """Give the row."""
        if self.taken:
            return self.taken
        return ImageVerdict(
            image_id=self.entry.image_id,
            verdict=self._judge(),
            findings=tuple(self.findings),
            n_regions=self.n_regions,
            sha256=self.sha256,
            n_bytes=self.n_bytes,
            looked_again=self.looked_again,
            n_still_detected=self.n_still_detected,
            n_drawn_detected=self.n_drawn_detected,
            max_survival=self.max_survival,
        )

    def _judge(self) -> Verdict:
        if isinstance(self.entry.original, Container) and not self.findings:
            return Verdict.WHOLE
        return judge(self.findings, is_present=self.entry.found is not None)


@dataclass(frozen=True, slots=True)
class Examiner:
    """Checks entries one by one. Safe to call from several threads at once.

    Attributes:
        trees: Originals, output and record.
        annotations: What had to be hidden.
        contract: How.
        obfuscator: The method, built anew.
        config: Settings of the verification.
        sample: Share of the images, among those that are sampled, that detectors search.
        former: What was found before the release was updated; None if it was not.
    """

    trees: Trees
    annotations: Known
    contract: Contract
    obfuscator: Obfuscator
    config: VerifyConfig
    sample: float
    former: Former | None = None

    def examine(self, entry: Entry, steps: Steps) -> Exam:
        """Check one entry. Whatever goes wrong becomes a finding: never a silent pass."""
        exam = Exam(entry)
        try:
            self._examine(exam, steps)
        except DecodeError as error:
            exam.add("check-failed", Level.ERROR, str(error))
        except (DatasetError, RunError):
            # The annotation set or a tree itself is broken: no image can be checked.
            raise
        except Exception as error:  # noqa: BLE001  one bad file never stops the run
            exam.add("check-failed", Level.ERROR, describe_failure(entry.image_id, error))
        return exam

    def _examine(self, exam: Exam, steps: Steps) -> None:
        entry = exam.entry
        is_written = entry.outcome is not None and entry.outcome.outcome.is_released
        if isinstance(entry.original, Container):
            self._check_container(exam, steps)
            return
        is_file = entry.found is not None and entry.found.kind in ("file", "member")
        if entry.found and not (is_written and is_file):
            self._judge_stranger(exam, entry.found)
        if entry.outcome is None:
            if not entry.found:
                message = "It is not in the output. Run detect and obfuscate again to publish it."
                exam.add("not-in-record", Level.REVIEW, message)
        elif not is_written:
            if not entry.found:
                self._check_absent(exam, entry.outcome)
        elif not is_file:
            message = "The file is gone. Restore it, or obfuscate again into a new folder."
            exam.add("missing", Level.ERROR, message)
        elif entry.original is None:
            exam.add("original-missing", Level.ERROR, "Nothing to compare with. Restore it.")
        else:
            self._check_file(exam, entry.original, entry.outcome, steps)

    def _judge_stranger(self, exam: Exam, found: Found) -> None:
        """Judge what is in the output although the run did not put it there."""
        if found.kind == "folder":
            message = "No file is below it. Remove it, unless its name may be published."
            exam.add("empty-folder", Level.REVIEW, message)
            return
        outcome = exam.entry.outcome
        if found.kind == "link":
            message = "It leads out of what was checked. Remove it."
            exam.add("unexpected-link", Level.LEAK, message)
        elif outcome and outcome.outcome is Outcome.REMOVED:
            message = "It was withdrawn from the release. Remove it again."
            exam.add("removed-but-present", Level.LEAK, message)
        elif outcome and outcome.outcome is Outcome.FAILED:
            message = (
                f"It was not processed ({outcome.reason}), so it may be the original. Remove it."
            )
            exam.add("failed-but-present", Level.LEAK, message)
        else:
            exam.add("unexpected-file", Level.LEAK, "Nobody knows what it is. Remove it.")
        if found.kind == "member" and not found.problem:
            data = self.trees.read_output(exam.entry)
            exam.sha256, exam.n_bytes = sha256_hex(data), len(data)
        elif found.kind == "file" and not found.problem:
            exam.sha256, exam.n_bytes = self.trees.digest_output(found.image_id)

    def _check_container(self, exam: Exam, steps: Steps) -> None:
        """Check all of a file of images but the images, which have entries of their own."""
        entry, name = exam.entry, exam.entry.image_id
        if entry.found is None or entry.found.kind != "container":
            if entry.found:
                self._judge_stranger(exam, entry.found)
            message = "The file is gone. Restore it, or obfuscate again into a new folder."
            exam.add("missing", Level.ERROR, message)
            return
        with steps.waiting("read"):
            exam.sha256, exam.n_bytes = self.trees.digest_output(name)
        with steps("compare"):
            difference = self.trees.find_difference(name, self.trees.written_into(name))
        if difference:
            exam.add("container-changed", Level.LEAK, f"{difference} Obfuscate again.")

    def _check_absent(self, exam: Exam, outcome: ImageOutcome) -> None:
        original = exam.entry.original
        # Whatever lies among the originals now, what was withdrawn does not come back.
        if not (original and outcome.sha256_in) or outcome.outcome is Outcome.REMOVED:
            return
        try:
            digest = sha256_hex(self.trees.read(original))
        except DecodeError:
            digest = ""
        if digest != outcome.sha256_in:
            message = "It failed then, and changed since. Detect and obfuscate again to publish it."
            exam.add("original-changed", Level.REVIEW, message)

    def _check_file(
        self, exam: Exam, original: ImageRecord, outcome: ImageOutcome, steps: Steps
    ) -> None:
        """Check a file that the run wrote against its original."""
        with steps.waiting("read"):
            data = self.trees.read_output(exam.entry)
            source = self.trees.read(original)
        with steps("digest"):
            exam.sha256, exam.n_bytes = sha256_hex(data), len(data)
            digest = sha256_hex(source)
        if exam.sha256 != outcome.sha256_out:
            message = "It was changed after the run. Obfuscate again into a new folder."
            exam.add("digest", Level.LEAK, message)
        known = find_known(self.annotations, original, outcome.sha256_in or digest)
        if known.status is not Status.LOOKED:
            message = "Nobody searched it for faces, so it must not be published. Remove it."
            exam.add("failed-but-present", Level.LEAK, message)
            return
        if digest != outcome.sha256_in or (known.sha256 and known.sha256 != digest):
            message = "Restore the original, or detect and obfuscate again."
            exam.add("original-changed", Level.ERROR, message)
            return
        regions = self.contract.to_hide(known.regions)
        exam.n_regions = len(regions)
        expected = Outcome.OBFUSCATED if regions else Outcome.UNTOUCHED
        if (expected, len(regions)) != (outcome.outcome, outcome.n_regions):
            message = (
                f"{len(regions)} regions had to be hidden, the run recorded {outcome.n_regions}. "
                "Obfuscate again into a new folder."
            )
            exam.add("regions-ignored", Level.LEAK, message)
        if self.former and not exam.findings:
            why = self._why_look_again(outcome.image_id, is_touched=bool(regions))
            exam.taken = self.former.find(outcome, known, why)
            if exam.taken:
                return
        if regions:
            self._check_touched(exam, source, data, regions, steps)
        else:
            self._check_untouched(exam, source, data, steps)

    def _check_untouched(self, exam: Exam, source: bytes, data: bytes, steps: Steps) -> None:
        """Without a region, every byte follows from the original and the policy."""
        with steps("metadata"):
            if clean_metadata(source, self.contract.metadata) != data:
                message = "Not the original with cleaned metadata. Obfuscate again."
                exam.add("not-justified", Level.LEAK, message)
            # Where the bytes are as expected, the cleaning itself may be wrong.
            elif self._form_of(source) != self._form_of(data):
                exam.add("size-changed", Level.LEAK, _OTHER_FORM)
            self._check_metadata(exam, data)
        exam.looked_again = self._why_look_again(exam.entry.image_id, is_touched=False)
        if exam.looked_again:
            with steps("decode"):
                exam.renderings, _ = self._renderings(data)

    def _check_touched(
        self, exam: Exam, source: bytes, data: bytes, regions: Sequence[Region], steps: Steps
    ) -> None:
        """With regions: open it as an attacker would, and compare it with the original."""
        with steps("decode"):
            before, info = decode_image(source, max_pixels=self.config.max_pixels, check_end=False)
            try:
                shown, info_after = self._renderings(data)
            except DecodeError as error:
                message = f"{error} Obfuscate again into a new folder."
                exam.add("unreadable-output", Level.ERROR, message)
                return
        with steps("metadata"):
            self._check_metadata(exam, data)
        if _form(info) != _form(info_after):
            exam.add("size-changed", Level.LEAK, _OTHER_FORM)
            return
        exam.cores = self.obfuscator.core(regions, info.size_wh)
        exam.drawn = exam.cores[self._is_drawn(regions, info.size_wh)]
        footprint = self.obfuscator.footprint(regions, info.size_wh)
        with steps("compare"):
            changes = find_outside_changes(
                source, data, footprint, max_pixels=self.config.max_pixels
            )
        if changes:
            exam.add("outside-changed", Level.LEAK, f"{' '.join(changes)} Obfuscate again.")
        with steps("survival"):
            self._check_survival(exam, before, shown[0], regions)
        exam.looked_again = self._why_look_again(exam.entry.image_id, is_touched=True)
        if exam.looked_again:
            exam.renderings = shown

    def _is_drawn(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """Say in which regions the method drew a face, ``(N,)``."""
        if not self.obfuscator.card.draws_faces:
            return np.zeros(len(regions), np.bool_)
        reasons = [""] * len(regions)
        if isinstance(self.obfuscator, Substituting):
            reasons = self.obfuscator.substituted(regions, size_wh)
        return np.array([not reason for reason in reasons], np.bool_)

    def _why_look_again(self, image_id: str, *, is_touched: bool) -> str:
        """Say why detectors are to search an output, "" if they are not."""
        recheck = self.config.recheck
        if recheck == "all" or (recheck == "touched" and is_touched):
            return recheck
        is_drawn = recheck != "none" and is_sampled(image_id, self.config.seed, self.sample)
        return "sample" if is_drawn else ""

    def _check_metadata(self, exam: Exam, data: bytes) -> None:
        for preview in embedded_previews(data):
            size = _preview_size(preview.data)
            message = f"A second picture is in {preview.where}{size}. Obfuscate again."
            exam.add("embedded-preview", Level.LEAK, message)
        names = metadata_findings(data, self.contract.metadata)
        if names:
            message = f"It holds: {', '.join(names)}. Obfuscate again."
            exam.add("metadata", Level.LEAK, message)

    def _check_survival(
        self, exam: Exam, before: Image, after: Image, regions: Sequence[Region]
    ) -> None:
        limit = self.obfuscator.card.max_survival
        worst = 0.0
        for region in regions:
            left = survival(before, after, region.box_xyxy)
            worst = max(worst, left)
            # "not <=": a survival that is no number must not pass.
            if not left <= limit:
                message = (
                    f"{left:.2f} of its detail is left, the method promises at most {limit:.2f}. "
                    "Obfuscate again, with a stronger method."
                )
                exam.add("shows-through", Level.LEAK, message, region=region, score=left)
        exam.max_survival = worst

    def _form_of(self, data: bytes) -> tuple[object, ...]:
        return _form(inspect_image(data, max_pixels=self.config.max_pixels))

    def _renderings(self, data: bytes) -> tuple[tuple[Image, ...], ImageInfo]:
        return decode_renderings(data, max_pixels=self.config.max_pixels)


def _form(info: ImageInfo) -> tuple[object, ...]:
    return info.format, info.size_wh, info.stored_wh, info.orientation


def _preview_size(data: bytes) -> str:
    """Say how large a preview is, if it opens."""
    try:
        image, _ = decode_image(data)
    except DecodeError:
        return ""
    return f" ({image.shape[1]} x {image.shape[0]} pixels)"
