"""Live segments: what streams recorded, what it covers, and its way into the partitions."""
