"""MulCLIP taken apart: its ablation, its maps, their figures."""
