"""What holds for every test."""

import os
import signal
import tempfile

from hypothesis import settings

os.environ["XDG_CONFIG_HOME"] = os.devnull  # a user's own configuration is none of a test's
os.environ.setdefault("MPLCONFIGDIR", tempfile.gettempdir())  # or matplotlib looks there, and complains
settings.register_profile("dccd", deadline=None, max_examples=50)  # a busy machine is no defect
settings.load_profile("dccd")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it puts into the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
