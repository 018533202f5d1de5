"""What comes in to be kept: leads, accounts, events, actions, outcomes, stages, merges; acknowledged once on disk."""
