"""The leak: how much a text reads of itself in a conditioned embedding, and what cures it."""
