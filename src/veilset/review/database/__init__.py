# SPDX-License-Identifier: Apache-2.0
"""What review remembers: tables, and every change of them as one transaction."""

from veilset.errors import MissingExtraError

# Whatever needs the database imports this package first, and fails with a sentence.
try:
    import alembic
    import sqlalchemy
except ImportError as error:
    library = str(error.name).partition(".")[0]
    raise MissingExtraError(
        f"The review database needs {library}, which is not installed. "
        "Install it with: pip install 'veilset[review]'"
    ) from error

del alembic, sqlalchemy
