"""Training: data, objective, stages, one loop."""
