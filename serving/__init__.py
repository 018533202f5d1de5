"""Serving: a request becomes facts, a bundle answers, reasons are told in words, and BentoML carries it to the CRM.

`serving.scoring` knows nothing of the web, `serving.http` nothing of BentoML, and `serving.service` is the thin shell
around both. Nothing here imports mlflow, shap, great_expectations or pandas.
"""

__all__: list[str] = []
