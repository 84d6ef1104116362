"""SODEC: a hyperprior codec whose preview guides one step of diffusion."""
