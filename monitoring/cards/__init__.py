"""Reports as cards in a chat group: one summary, the formats of four platforms, delivered once."""
