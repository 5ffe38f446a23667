"""Experiments: where models and data meet."""
