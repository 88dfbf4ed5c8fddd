"""What holds for every test."""

from hypothesis import settings

settings.register_profile("dccd", deadline=None, max_examples=50)  # a busy machine is no defect
settings.load_profile("dccd")
