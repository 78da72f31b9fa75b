"""Data sets and batches: procedural scenes, benchmarks, text batches."""
