"""Market data from exchanges to a proven Parquet lake; knows nothing of Dagster.

domain     nouns: time, data types and their tables, symbols, datasets, errors
adapter    what an exchange file is made of: plain values and pure functions
exchanges  an exchange is one file, its WebSocket one beside it; and the registry
net        the only folder that touches network and clock
lake       partitions on disk: layout, atomic Parquet, ledger, reader
quality    pure checks over rows and ledger
fetch      history: plan, page, collect, fill a partition
stream     live: sessions, order books, recordings; folded into the same partitions
testing    shipped doubles: the sandbox
"""
