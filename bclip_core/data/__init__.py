"""Data sets and batches: procedural scenes, real data sets, text batches."""
