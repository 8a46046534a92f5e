"""The audit: attacks before and after, the verdict, and the report."""
