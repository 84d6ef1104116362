"""Pixels <-> latents <-> symbols. No files, no devices, no printing."""
