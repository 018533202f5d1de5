"""The operational store from the side of serving: its door, its scores and the log of what was answered."""
