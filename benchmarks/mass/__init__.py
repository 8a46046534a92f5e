"""MaSS, table by table: the paper's rows by its own protocol, and the accuracy of retrained attackers."""
