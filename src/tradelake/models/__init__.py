"""Labels, purged splits, algorithms, packaging and prediction. Pure."""
