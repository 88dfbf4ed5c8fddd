"""A store of dccd 3 taken over: its rows, checked and mended, in partitions of ours.

oldstore  what lies where in a store of dccd 3, by the names that it has here
quirks    what dccd 3 did to what exchanges said, and what becomes of it
clean     rows of one of its files: columns, units, order, sanity
take      one of its files into the partitions that its rows belong to
report    what was taken, repaired, refused and left out
journal   which files are done, so that an interrupted import goes on
run       a whole store
"""
