"""Bars out of trades, for history and live alike, and bars held against those that a venue gives.

aggregate  trades added up to bars, exactly
derive     bars of a partition built from the trades of the lake
longer     longer bars out of shorter ones that are proven
read       longer bars, made while they are read
live       bars that a stream brings or builds, kept until they are final
compare    stored bars beside the venue's own
"""
