"""Whether a challenger may replace the champion: the gate, its evidence and its page."""
