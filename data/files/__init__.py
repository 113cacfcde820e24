"""Bars in files, one a symbol: CSV, gzip CSV and Parquet, read with every row checked, and written."""

from data.files.reading import LOOKAHEAD, BarFolder, bar_files, load_bars, names_a_file
from data.files.writing import write_bars

__all__ = ["LOOKAHEAD", "BarFolder", "bar_files", "load_bars", "names_a_file", "write_bars"]
