"""HTTP: who is let in at what rate, the rules of the exchange, and what is told about it. Knows no room of paths."""
