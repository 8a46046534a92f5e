"""What the standard audit finds: on releases, on planted leaks, and for how many seconds."""
