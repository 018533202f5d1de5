"""What clew knows about a lead at a moment: a catalogue of definitions and its evaluators, snapshots and labels.

Nothing here has learnt anything from an outcome.
"""
