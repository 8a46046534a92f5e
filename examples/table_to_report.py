"""The whole flow in Python: a table in, a released table and a report out. Run it: python examples/table_to_report.py TABLE.parquet"""

import sys
from pathlib import Path

from sordine import Key, Policy, Table, audit, fit
from sordine.evaluation.report_file import write_report
from sordine.run import Run
from sordine.workflow.transform import transform_file

table = Table.read(sys.argv[1])
policy = Policy(suppress=("speaker",), preserve=("digit",))
key = Key.fresh()  # keep it: key.write("modifier.key")
modifier = fit(table, policy, run=Run(key=key, log=print))
modifier.save("modifier")
transform_file(modifier, sys.argv[1], "released.parquet", key=key)  # no suppressed column in it
report = audit(table, Table.read("released.parquet"), policy, modifier=modifier, key=key)
write_report(report, Path("report.html"), Path("report.json"))
print(report.verdict.title, *report.verdict.sentences, sep="\n")
