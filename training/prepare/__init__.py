"""From photos with captions to shards that training reads: `python -m training prepare`."""
