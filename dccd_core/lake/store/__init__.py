"""Where bytes live: a folder or a bucket, and which store it is."""
