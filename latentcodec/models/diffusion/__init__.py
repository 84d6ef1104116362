"""Stable Diffusion's networks, which methods at full scale build on."""
