"""Questions asked of many runs: searches, ablations, comparisons, with their tables and figures."""
