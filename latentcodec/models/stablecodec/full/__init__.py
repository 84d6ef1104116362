"""StableCodec as published: its networks under the names of its checkpoints, around SD-Turbo."""
