"""How every method is judged forward in time: peers, metrics, bootstrap, scoreboard, pictures and pages."""
