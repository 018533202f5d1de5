"""The leak finder: what each column would give away, with the evidence in words."""
