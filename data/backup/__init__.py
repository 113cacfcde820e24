"""Back up a database as a folder of Parquet files, and restore it on any server."""

from data.backup.reading import restore, rows_to_do
from data.backup.writing import Progress, backup, checksums, read_manifest

__all__ = ["Progress", "backup", "checksums", "read_manifest", "restore", "rows_to_do"]
