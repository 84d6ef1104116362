"""StableCodec: dual-branch latents, quad-tree entropy model, one-step denoiser."""
