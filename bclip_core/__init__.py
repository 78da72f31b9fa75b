"""Fine-grained, long-caption CLIP: β-CLIP and its relatives, small, exact and measured."""

__version__ = "0.1.0"
