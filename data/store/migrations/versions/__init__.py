"""The steps in order: the facts, then what clew itself says and does about them, then who was forgotten."""
