"""What Dagster's runs need around them: a launcher, stops, alerts, and an end for those that fell silent."""
