"""Codec 1: a function fitted to the latents of one picture, for any autoencoder.

latents --wavelet, mixing--> bands --round--> integers --context, range coder--> file
integers --mixing, inverse wavelet, refinement--> latents
"""
