"""The whole flow in Python: a table in, a released table and a report out. Run it: python examples/table_to_report.py TABLE.parquet"""

import sys
from pathlib import Path

from sordine import Key, Policy, Table, audit, fit, transform
from sordine.methods import Run
from sordine.report.data import write_report

table = Table.read(sys.argv[1])
policy = Policy(suppress=("speaker",), preserve=("digit",))
key = Key.fresh()  # keep it: key.write("modifier.key")
modifier = fit(table, policy, run=Run(key=key, log=print))
modifier.save("modifier")
released = transform(modifier, table, key)
released.write("released.parquet")  # your working copy: it still has every label; see `sordine release`
report = audit(table, released, policy, modifier=modifier, key=key)
write_report(report, Path("report.html"), Path("report.json"))
print(report.verdict.title, *report.verdict.sentences, sep="\n")
