"""The pages that sales reads: sign-in, the list of open leads, one lead and what is behind its score.

Rendered here and served with no script, no outside address and one filter of what a key shows: `serving.keys.access`.
"""

__all__: list[str] = []
