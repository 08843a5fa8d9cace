# SPDX-License-Identifier: Apache-2.0
"""Every exception of Veilset.

    VeilsetError
      ConfigError (ValueError)            a setting that cannot be used
      DatasetError                        a data set, or one image of it, that cannot be used
        MissingImageError (FileNotFoundError)
        DecodeError                       an image that was refused or could not be read
        AnnotationError                   an annotation set that cannot be used
      BoxError (ValueError)               boxes of the wrong shape, order or value
      PluginError                         a plugin that cannot be loaded
        UnknownPluginError (KeyError)     a name that no plugin carries
        BrokenPluginError                 a plugin that does not do what its protocol says
        LicenceError                      weights whose licence forbids the stated use
      MissingExtraError (ImportError)     an optional library that is not installed
      RunError                            a run that cannot start or go on
        ResumeMismatchError               a resume with other settings or other inputs
      ReviewError                         what a reviewer or an owner asked for cannot be done
        AccessError                       not signed in, or not allowed
        LeaseError                        a batch that is not this person's any more

A message says what is wrong, where, and what to do, a sentence each. Messages
never hold pixels, embeddings, EXIF or GPS values.
"""

from __future__ import annotations


class VeilsetError(Exception):
    """Base of every error that Veilset raises on purpose."""

    def __str__(self) -> str:
        # KeyError would show the repr of its argument, FileNotFoundError its errno.
        return " ".join(str(part) for part in self.args)


class ConfigError(VeilsetError, ValueError):
    """A setting has a value that cannot be used."""


class DatasetError(VeilsetError):
    """A data set, or one image of it, cannot be used."""


class MissingImageError(DatasetError, FileNotFoundError):
    """An image that was listed is not there any more."""


class DecodeError(DatasetError):
    """An image was refused, or could not be read.

    Attributes:
        reason: One of the short codes of ``REASONS``; it goes into records and counts.
    """

    REASONS = (
        "unreadable",  # not an image, or corrupt
        "truncated",
        "animated",
        "multi-picture",
        "unsupported",  # a format, colour mode or bit depth that cannot be written safely
        "over-limit",  # more pixels or bytes than the stated limit
        "missing",
        "changed",  # the file is not the one that was looked at
        "not-looked",  # nobody searched it, so nobody knows what is in it
        "error",  # something unexpected, logged
    )

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        if reason not in self.REASONS:
            raise ValueError(f"{reason!r} is not a reason of DecodeError: {self.REASONS}")
        self.reason = reason

    def __reduce__(self) -> tuple[type[DecodeError], tuple[str, str]]:
        return type(self), (self.reason, str(self))


class AnnotationError(DatasetError):
    """An annotation set is malformed, unfinished or does not fit the data set."""


class BoxError(VeilsetError, ValueError):
    """Boxes have the wrong shape, order or a value that is not finite."""


class PluginError(VeilsetError):
    """A plugin cannot be loaded, or breaks its contract."""


class UnknownPluginError(PluginError, KeyError):
    """No plugin carries that name."""


class BrokenPluginError(PluginError):
    """A plugin breaks its contract whatever it is given: nothing it says can be relied on."""


class LicenceError(PluginError):
    """The licence of the weights forbids the stated use."""


class MissingExtraError(VeilsetError, ImportError):
    """An optional library is not installed; the message names the pip command."""


class RunError(VeilsetError):
    """A run cannot start or cannot go on."""


class ResumeMismatchError(RunError):
    """A run cannot be resumed, because its settings or inputs changed."""


class ReviewError(VeilsetError):
    """What a reviewer or the owner of a review job asked for cannot be done."""


class AccessError(ReviewError):
    """Somebody is not signed in, or may not do this. Never says whether the thing exists."""


class LeaseError(ReviewError):
    """A batch is not this person's any more: its time ran out, or it has ended."""
