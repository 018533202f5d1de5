"""The monthly retrain as an Airflow 3 DAG; the worker has the warehouse, MLflow and the bundles on its disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="clew_retrain",
    schedule="30 4 1 * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="retrain",
        cwd="/srv/clew",
        # The run's own date, not the clock's: a run that is cleared and repeated later is the same run.
        bash_command=".venv/bin/clew retrain --as-of \"{{ data_interval_end.strftime('%Y-%m-01') }}\"",
        # A lock or a disk may be free again in a quarter of an hour; bad data fail again and say so.
        retries=1,
        retry_delay=timedelta(minutes=15),
    )
