"""History: plan what is missing, page through it, collect it in order, fill a partition."""
