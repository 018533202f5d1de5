"""HTTP: the application, who is let in at what rate, the rules of the exchange, and what is told about it."""
