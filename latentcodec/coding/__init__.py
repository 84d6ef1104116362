"""Symbols <-> bytes: range coding, committed probability tables, integer networks. numpy only, no torch."""
