"""One partition: its rows as Parquet, its ledger, its quarantine, and how rows are merged into it."""
