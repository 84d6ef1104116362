"""Bytes <-> parsed file. Standard library only: `lcodec info` runs on this package alone."""
