"""Performance as a ratio against a peer in the same run; never a timed unit test."""
