"""The team's own scorecard, judged like a model and improved from history."""
