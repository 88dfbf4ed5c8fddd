"""The Python API: one class, ``Lake``, over all the rest."""
