"""MaSS, table by table: the paper's rows, our rows by its own protocol, and beside them what a retrained attacker reads."""
