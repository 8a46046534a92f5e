"""Changed copies of records for contrastive training."""
