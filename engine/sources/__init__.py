"""Where a model comes from: one text such as `s3://bucket/prefix` -> verified local files.

Importing this package imports no client of any place; each is imported when it is first asked.
"""

from engine.sources.request import FileFilter, Progress, S3Retry
from engine.sources.table import DEFAULT_SOURCE, SCHEMES, Scheme, resolve

__all__ = [
    "DEFAULT_SOURCE",
    "SCHEMES",
    "FileFilter",
    "Progress",
    "S3Retry",
    "Scheme",
    "resolve",
]
