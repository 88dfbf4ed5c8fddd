"""What holds for every test."""

import signal

from hypothesis import settings

settings.register_profile("dccd", deadline=None, max_examples=50)  # a busy machine is no defect
settings.load_profile("dccd")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
