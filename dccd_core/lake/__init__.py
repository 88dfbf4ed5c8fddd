"""Frames <-> disk: partitions whole or not at all, each with the ledger of what was asked for it.

lake       what others use: state, drafts, rows and quarantine of partitions
draft      fresh rows of a partition on their way into it
away       a partition's file that goes elsewhere, and comes back
reader     many partitions, and what streams recorded beside them, as one table
layout     where things live inside a store
partition  one partition: Parquet, ledger, quarantine, merge
live       segments of streams, what they cover, their way into partitions
store      folder, bucket, and which store it is
"""
