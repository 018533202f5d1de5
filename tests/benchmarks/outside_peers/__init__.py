"""CatBoost with defaults and FLAML with 60 s beside clew, forward in time on the three real data sets.

They are no dependency: `make bench-peers` makes an environment of their own in `var/outside-peers` from
`requirements.lock` (made from `requirements.in`), then runs `python -m tests.benchmarks.outside_peers`. The project's
environment writes the rows that every peer of the scoreboard is fitted on, and the judged rows without their outcomes;
the other environment sends back probabilities; the project's judges them. Rows live in a temporary folder only.
"""
