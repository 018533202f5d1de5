"""The monthly retrain: its steps, its journal and its command."""
