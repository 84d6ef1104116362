"""Pixels <-> payload: where weights meet models. One file per codec, encode beside decode."""
