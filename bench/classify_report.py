#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""Tables of what bench/classify.sh measured.

  classify_report.py --join DIR          classify.environment and classify.cases to classify.json
  classify_report.py FILE                tables of classify.json, in Markdown
  classify_report.py --docs FILE PAGE    the same between the markers of a page
"""

import json
import os
import statistics
import sys

BEGIN = "<!-- measured: bench/classify.sh --docs writes what follows -->"
END = "<!-- measured: end -->"
SIZES = (1, 10, 100, 1000, 10000, 100000)
KINDS = ("destination", "source", "port", "mixed")


def over(case, what, base):
    """Nanoseconds over the empty program, round by round."""
    return [r[what] - r[base] for r in case["rounds"]]


def hot(case):
    return over(case, "hot", "empty")


def varied(case):
    return over(case, "varied", "empty_varied")


def established(case):
    return over(case, "established", "empty")


def spread(values):
    if not values:
        return "-"
    return f"{statistics.median(values):.0f} ({min(values):.0f}..{max(values):.0f})"


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


class Data:
    def __init__(self, report):
        self.environment = report["environment"]
        self.cases = {(c["by"], c["family"], c["rules"], c["set"]): c for c in report["cases"]}

    def get(self, kind, family, rules, prefixes=0):
        return self.cases.get((kind, family, rules, prefixes))


def curve(data, what, title):
    yield f"### {title}"
    yield ""
    sizes = [n for n in SIZES if any(key[2] == n and not key[3] for key in data.cases)]
    rows = []
    for family in (4, 6):
        for kind in KINDS:
            cells = [data.get(kind, family, n) for n in sizes]
            if any(cells):
                rows.append([f"IPv{family}, by {kind}" if kind != "mixed"
                             else f"IPv{family}, mixed"]
                            + [spread(what(c)) if c else "-" for c in cells])
    yield from table(["rules"] + [f"{n:,}" for n in sizes], rows)


def sets(data):
    yield "### Sets"
    yield ""
    keys = sorted((k for k in data.cases if k[3]), key=lambda k: (k[1], k[2], k[3]))
    rows = [[f"IPv{k[1]}, {k[2]:,} rules {'mixed' if k[0] == 'mixed' else 'by ' + k[0]}, "
             f"{k[3]:,} prefixes"] + [spread(f(data.cases[k])) for f in (hot, varied, established)]
            for k in keys]
    yield from table(["case", "SYN, hot", "SYN, varied", "established"], rows)


def loading(data):
    yield "### Loading, changes, memory"
    yield ""
    rows = []
    for key in sorted(data.cases, key=lambda k: (k[1], k[3], k[2])):
        c = data.cases[key]
        if "rule_add_ms" not in c:
            continue
        each = (c["used_bytes"]) / (key[2] + key[3])
        rows.append([f"IPv{key[1]}, {key[2]:,} rules {key[0]}, {key[3]:,} prefixes",
                     str(c["apply_ms"]), str(c["set_load_ms"] or "-")]
                    + [spread(c.get(name, [])) for name in
                       ("rule_add_ms", "rule_del_ms", "set_add_ms", "set_del_ms")]
                    + [f"{c['map_bytes'] / 1e6:.1f}", f"{each:,.0f}"])
    yield from table(["case", "apply rules, ms", "load set, ms", "rule add", "rule del",
                      "set add", "set del", "map, MB", "bytes used each"], rows)


def goals(data):
    few = data.get("mixed", 4, 10)
    all4, all6 = (data.get("mixed", f, 100000, 1000000) for f in (4, 6))
    if not (few and all4 and all6):
        return
    median = statistics.median
    established_few, established_all = median(established(few)), median(established(all4))
    changes = [t for c in (all4, all6) for n in ("rule_add_ms", "rule_del_ms", "set_add_ms",
                                                 "set_del_ms") for t in c.get(n, [])]
    rows = [
        ("SYN, 100,000 rules and 1,000,000 IPv4 prefixes: times that of 10 rules",
         median(hot(all4)) / median(hot(few)), 3, "{:.2f}"),
        ("the same, ns over an empty program", median(hot(all4)), 300, "{:.0f}"),
        ("the same for IPv6", median(hot(all6)), 600, "{:.0f}"),
        ("established: times that of 10 rules", established_all / established_few, 1.1, "{:.2f}"),
        ("100,000 rules applied, ms", max(all4["apply_ms"], all6["apply_ms"]), 2000, "{:.0f}"),
        ("1,000,000 prefixes loaded, ms", max(all4["set_load_ms"], all6["set_load_ms"]), 5000,
         "{:.0f}"),
        ("one rule or prefix changed in that, ms (slowest)", max(changes), 50, "{:.0f}"),
    ]
    yield "### Goals"
    yield ""
    yield from table(["", "is", "goal: at most", "reached"],
                     ([title, text.format(value), text.format(limit),
                       "yes" if value <= limit else "**no**"]
                      for title, value, limit, text in rows))


def tables(data):
    for name, value in data.environment.items():
        yield f"- {name}: {'`' + value + '`' if name == 'command' else value}"
    yield ""
    yield from goals(data)
    yield from curve(data, hot, "A SYN again and again (hot), ns over an empty program")
    yield from curve(data, varied, "65,536 different SYNs in turn (varied), ns")
    yield from curve(data, established, "An established flow that is not ours, ns")
    yield from sets(data)
    yield from loading(data)


def join(directory):
    def path(name):
        return os.path.join(directory, name)

    with open(path("classify.environment"), encoding="utf-8") as f:
        environment = dict(line.rstrip("\n").split("\t", 1) for line in f)
    with open(path("classify.cases"), encoding="utf-8") as f:
        cases = [json.loads(line) for line in f]
    with open(path("classify.json"), "w", encoding="utf-8") as f:
        json.dump({"environment": environment, "cases": cases}, f, indent=1)
        f.write("\n")


def write_docs(page, text):
    with open(page, encoding="utf-8") as f:
        before, rest = f.read().split(BEGIN)
    after = rest.split(END)[1]
    with open(page, "w", encoding="utf-8") as f:
        f.write(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--join":
        join(arguments[1])
        return
    if len(arguments) not in (1, 3) or (len(arguments) == 3 and arguments[0] != "--docs"):
        sys.exit(__doc__)
    with open(arguments[len(arguments) // 2], encoding="utf-8") as f:
        text = "\n".join(tables(Data(json.load(f)))).rstrip()
    if len(arguments) == 3:
        write_docs(arguments[2], text)
    else:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
