"""Ways to call `clew retrain` once a month: copy the one that fits and change its paths.

Each only calls the command; what happens then is its own business. It is locked against a second run, a run that is
repeated changes nothing, and its exit code says how it ended: 0 promoted or kept the champion, 2 wrong use or bad data,
4 a disk, a lock or a database. `--as-of` is the first of the month, so that a run repeated later in the month is the
same run.

- `crontab`: cron
- `clew-retrain.service`, `clew-retrain.timer`: systemd
- `github-actions.yml`: GitHub Actions, on a runner of your own that has the warehouse
- `airflow_dag.py`: Airflow 3

Every week, `clew monitor --act` looks whether the model keeps its promises, and `clew quality` reports the leads; a
repeated run sends no card twice:

- `crontab-weekly`: cron, Mondays at 7:00 and 8:00

What operations should be woken for:

- `prometheus-rules.yml`: rules over what the service tells at `/metrics`
"""
