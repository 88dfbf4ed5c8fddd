"""The simulated exchanges: one local server that speaks each venue's wire format.

``market`` is the truth, a pure function of (exchange, symbol, time); a venue's module says it in the
venue's words; ``faults`` and ``limits`` spoil it on request; ``server`` serves it. It is a tool to try
things with, never what proves an adapter right: only real payloads do.
"""
