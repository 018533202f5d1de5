"""The main job from end to end, as a newcomer sees it."""
