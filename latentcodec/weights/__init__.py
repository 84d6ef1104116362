"""Weights files: the manifest, and finding, fetching, verifying and loading them."""
