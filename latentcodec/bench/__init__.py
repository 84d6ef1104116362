"""Measuring codecs over folders of pictures."""
