"""Whether promises are kept: realised against promised, drift, baselines. Stands between training and serving."""
