"""Fit, transform, audit: a table in, a report out.

Run: python examples/table_to_report.py TABLE.parquet SUPPRESSED [PRESERVED]
"""

import sys

from sordine import Key, Policy, Run, Table, audit, fit, transform, write_report

table = Table.read(sys.argv[1])
policy = Policy(suppress=(sys.argv[2],), preserve=tuple(sys.argv[3:]))
key = Key.fresh()  # key.write("modifier.key") stores it; never share it
modifier = fit(table, policy, run=Run(key=key))
modifier.save("modifier")
released = transform(modifier, table, key)
report = audit(table, released, policy, modifier=modifier, key=key)
write_report(report, html="report.html", json="report.json")
print(report.verdict.title, *report.verdict.sentences, sep="\n")
