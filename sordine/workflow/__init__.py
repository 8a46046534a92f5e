"""What the commands do: transform, release, jobs, sweeps, limits on leakage."""
