"""Parts used by more than one model."""
