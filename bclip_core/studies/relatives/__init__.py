"""The relatives: what only they need beside the common measurements."""
