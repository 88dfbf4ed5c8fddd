"""Is the lake complete and right today? One answer, for the terminal, for Dagster, and for a page.

dataset   how one configured dataset is
around    what else keeps a lake from being complete: schedules, streams, budgets, disks
gather    all of it together, from the lake and Dagster's storage
"""
