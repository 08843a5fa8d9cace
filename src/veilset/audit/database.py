# SPDX-License-Identifier: Apache-2.0
"""DuckDB, kept inside bounds: of memory, of threads, of one folder, and off the network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from veilset.errors import DatasetError, MissingExtraError, RunError
from veilset.files import writing
from veilset.spreadsheets import make_file_safe

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MIN_MEMORY_MB = 128

_ROWS_AT_ONCE = 4096

Row = tuple[Any, ...]


class Database:
    """A database that lives while an audit does, and spills into its own folder.

    Example of use::

        with Database.open(out / ".work", n_threads=2, memory_mb=512) as database:
            database.run("CREATE TABLE ...")
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._connection = connection
        self._folder = folder

    @classmethod
    def open(cls, folder: Path, *, n_threads: int, memory_mb: int) -> Self:
        """Open an empty database; what an earlier, killed process left there goes.

        Args:
            folder: Made for the database and its temporary files, removed in the end.
            n_threads: Threads of DuckDB.
            memory_mb: What DuckDB may hold in memory; beyond that it writes to the folder.

        Raises:
            MissingExtraError: If DuckDB is not installed.
            RunError: If the folder cannot be written to.
        """
        try:
            import duckdb
        except ImportError as error:
            raise MissingExtraError(
                "The audit needs DuckDB, which is not installed. "
                "Install it with: pip install 'veilset[audit]'"
            ) from error
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise RunError(
                f"The folder {folder} cannot be made ({error.strerror}). "
                "Choose a place where you may write."
            ) from error
        connection = duckdb.connect(
            str(folder / "audit.duckdb"),
            config={
                "threads": n_threads,
                "memory_limit": f"{memory_mb}MB",
                "temp_directory": str(folder / "temporary"),
                "preserve_insertion_order": False,
                # Never fetch an extension from the network, or load one that lies about.
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            },
        )
        return cls(connection, folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._connection.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, sql: str, values: Sequence[object] = ()) -> None:
        """Run a statement.

        Raises:
            RunError: If it does not fit into memory and the folder, or fails otherwise.
        """
        self._execute(sql, values)

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """Give all rows of a query; for answers that are small."""
        rows: list[Row] = self._execute(sql, values).fetchall()
        return rows

    def row(self, sql: str, values: Sequence[object] = ()) -> Row:
        """Give the only row of a query."""
        (row,) = self.rows(sql, values)
        return row

    def stream(self, sql: str) -> Iterator[Row]:
        """Go through the rows of a query, holding few; other statements may run meanwhile."""
        import duckdb

        cursor = self._connection.cursor()
        try:
            cursor.execute(sql)
            while rows := cursor.fetchmany(_ROWS_AT_ONCE):
                yield from rows
        except duckdb.OutOfMemoryException as error:
            raise _no_memory(error) from error
        finally:
            cursor.close()

    def add(self, table: str, batch: pa.Table) -> None:
        """Append rows to a table that has the same columns."""
        self._connection.register("batch", batch)
        self._execute(f"INSERT INTO {table} SELECT * FROM batch", ())
        self._connection.unregister("batch")

    def export(self, sql: str, path: Path) -> None:
        """Write the rows of a query as CSV or Parquet, by the suffix of the path."""
        form = (
            "FORMAT csv, HEADER true"
            if path.suffix == ".csv"
            else "FORMAT parquet, COMPRESSION zstd"
        )
        self._execute(f"COPY ({sql}) TO {quoted(str(path))} ({form})", ())
        if path.suffix == ".csv":
            columns = self._execute(f"DESCRIBE {sql}", ()).fetchall()
            with writing(path):
                make_file_safe(path, {at for at, row in enumerate(columns) if row[1] == "VARCHAR"})

    def read(self, sql: str, what: str) -> list[Row]:
        """Run a statement that reads somebody's files; what is wrong with them is told.

        Args:
            sql: The statement.
            what: What is read, at the beginning of a sentence.

        Raises:
            DatasetError: If it cannot be read; the message ends with what DuckDB says.
            RunError: If memory does not suffice.
        """
        import duckdb

        try:
            rows: list[Row] = self._connection.execute(sql).fetchall()
        except duckdb.OutOfMemoryException as error:
            raise _no_memory(error) from error
        except duckdb.Error as error:
            raise DatasetError(f"{what} cannot be read. DuckDB says: {_short(error)}") from error
        return rows

    def _execute(self, sql: str, values: Sequence[object]) -> duckdb.DuckDBPyConnection:
        import duckdb

        try:
            return self._connection.execute(sql, list(values))
        except duckdb.OutOfMemoryException as error:
            raise _no_memory(error) from error
        except duckdb.Error as error:
            raise RunError(
                "The audit could not count. Free space on the disk if it is full, or make the "
                f"annotation set again. DuckDB says: {_short(error)}"
            ) from error


def quoted(text: str) -> str:
    """Give a text as a literal of SQL.

    Example:
        >>> quoted("it's")
        "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def _no_memory(error: Exception) -> RunError:
    return RunError(
        "The audit does not fit into the memory that it may use. Raise the limit (--memory), or "
        f"free space on the disk. DuckDB says: {_short(error)}"
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
