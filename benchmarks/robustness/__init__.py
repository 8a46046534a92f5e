"""What happens to outputs when a command is killed or the disk is full, and what damaged and hostile inputs do."""
