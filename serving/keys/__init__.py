"""API keys: who asks, what they may, and whose leads they see."""
