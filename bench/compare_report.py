#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""compare_report.py: what compare.sh has measured, as tables and as a page with charts.

    compare_report.py --make DIR           DIR/compare.json, .md and .html of what is in DIR
    compare_report.py --docs JSON DOCS     DOCS/comparison-figures.md and .html, and the figures
                                           of DOCS/comparison.md
    compare_report.py --line LOAD RESULT   one result as a line of progress
    compare_report.py --scaling-line CASE  the same of a case of the scaling
"""

# Debian's python3, as matplotlib is Debian's.

import html
import json
import os
import re
import statistics
import sys
from collections import defaultdict

from report import BASE, FAILED, GBIT, P50, P99, RATE, Data, Metric, join

CPU_GB = Metric("proxy CPU-s per GB", lambda r: r["cpu_ns"] / r["bytes"], "{:.3f}", of_proxy=True)
ALL_GB = Metric("whole machine's CPU-s per GB", lambda r: r["machine_ns"] / r["bytes"], "{:.3f}")
CPU_1000 = Metric("proxy CPU-s per 1,000", lambda r: r["cpu_ns"] / r["n"] / 1e6, "{:.4f}",
                  of_proxy=True)
ALL_1000 = Metric("whole machine's CPU-s per 1,000", lambda r: r["machine_ns"] / r["n"] / 1e6,
                  "{:.4f}")
ALL_EACH = Metric("whole machine's CPU-us each", lambda r: r["machine_ns"] / r["n"] / 1e3,
                  "{:.2f}")

BULK = (GBIT, CPU_GB, ALL_GB)
LOADS = {
    "connections-64": ("New connections, 64 in parallel (connect, 1 byte, 1 byte back, close); "
                       "the time is to that first byte",
                       (RATE, P50, P99, CPU_1000, ALL_1000, FAILED)),
    "requests-1": ("Requests of 64 bytes on 1 kept connection", (P50, P99)),
    "requests-64": ("Requests of 64 bytes on 64 kept connections", (RATE, P50, P99, CPU_1000,
                                                                    ALL_1000)),
    "up-1": ("Bulk from client to server, 1 stream", BULK),
    "up-4": ("Bulk from client to server, 4 streams", BULK),
    "down-1": ("Bulk from server to client, 1 stream", BULK),
    "down-4": ("Bulk from server to client, 4 streams", BULK),
    "packets-16": ("Small packets: 64 bytes by UDP, 16 flows, those the way is for", (RATE,
                                                                                     ALL_EACH)),
    "others-16": ("Bystanders: 64 bytes by UDP, 16 flows that no rule selects", (RATE, ALL_EACH)),
}
SHORT_NAMES = (
    ("New connections per second", "connections-64", RATE),
    ("Time to first byte, p50 us", "connections-64", P50),
    ("Time to first byte, p99 us", "connections-64", P99),
    ("Request, 1 connection, p50 us", "requests-1", P50),
    ("Request, 1 connection, p99 us", "requests-1", P99),
    ("Requests per second, 64 connections", "requests-64", RATE),
    ("Bulk up, 1 stream, Gbit/s", "up-1", GBIT),
    ("Bulk up, 4 streams, Gbit/s", "up-4", GBIT),
    ("Bulk down, 1 stream, Gbit/s", "down-1", GBIT),
    ("Bulk down, 4 streams, Gbit/s", "down-4", GBIT),
    ("CPU-s of shuntd per GB, up, 4 streams", "up-4", CPU_GB),
    ("CPU-s of shuntd per 1,000 connections", "connections-64", CPU_1000),
    ("CPU-s of the machine per GB, up, 4 streams", "up-4", ALL_GB),
    ("CPU-s of the machine per 1,000 connections", "connections-64", ALL_1000),
    ("Small packets per second (UDP)", "packets-16", RATE),
    ("Packets per second that no rule selects", "others-16", RATE),
    ("CPU-us of the machine for each of these", "others-16", ALL_EACH),
)

# ---- cells ---------------------------------------------------------------------------------------


def span(values, text):
    """median (min..max)"""
    middle = text(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({text(min(values))}..{text(max(values))})"


def percent(ratios):
    return f"{100 * statistics.median(ratios):.0f} %"


def has_proxy(data, way):
    """shuntd was on the way: its CPU time was read."""
    return any(r["cpu_ns"] for load in LOADS for r in data.results[way, load].values())


def cell(data, way, load, metric):
    """The median with its spread, and as a part of direct in the same round."""
    if metric.of_proxy and not has_proxy(data, way):
        return "-"
    values = data.values(way, load, metric)
    if not values:
        return "-"
    ratios = [] if metric.of_proxy or way == BASE else data.ratios(way, load, metric)
    return span(values, metric.text) + (f", {percent(ratios)}" if ratios else "")


def brief(data, way, load, metric):
    values = data.values(way, load, metric)
    if not values or (metric.of_proxy and not has_proxy(data, way)):
        return "-"
    ratios = [] if way == BASE or metric.of_proxy else data.ratios(way, load, metric)
    return metric.text(statistics.median(values)) + (f" ({percent(ratios)})" if ratios else "")


# ---- the ways ------------------------------------------------------------------------------------


def summary(data):
    rows = [[title] + [brief(data, way, load, metric) for way in data.ways]
            for title, load, metric in SHORT_NAMES
            if any(data.results[way, load] for way in data.ways)]
    return ("All ways at a glance: medians, and of direct in the same round",
            [""] + data.ways, rows)


def lost(data, way, load):
    return sum(1 for f in data.failures if f["way"] == way and f["round"]
               and f["load"] in (load, "start", "verify"))


def load_tables(data):
    for load, (title, metrics) in LOADS.items():
        rows = [[way] + [cell(data, way, load, m) for m in metrics]
                + [f"{len(data.results[way, load])}"
                   + (f", {lost(data, way, load)} discarded" if lost(data, way, load) else "")]
                for way in data.ways if data.results[way, load]]
        if rows:
            yield title, ["way"] + [m.title for m in metrics] + ["runs"], rows


# ---- scaling -------------------------------------------------------------------------------------

NONE = "none"


class Scaling:
    """Cases by kind and number of rules."""

    def __init__(self, cases):
        self.cases = defaultdict(dict)  # (kind, n) -> round -> case
        self.failures = [c for c in cases if "failed" in c]
        for c in cases:
            if "failed" not in c:
                self.cases[c["kind"], c["n"]][c["round"]] = c
        self.kinds = list(dict.fromkeys(c["kind"] for c in cases if c["kind"] != NONE))
        self.sizes = sorted({c["n"] for c in cases if c["kind"] != NONE})

    def values(self, kind, n, function):
        return [function(c) for c in self.cases[kind, n].values()]

    def ratios(self, kind, n, function):
        """To no rules at all in the same round."""
        base = self.cases[NONE, 0]
        return [function(c) / function(base[i]) for i, c in self.cases[kind, n].items()
                if i in base]


def rate_of(load):
    return lambda c: c[load]["n"] / c[load]["seconds"]


def change_ms(c):
    return statistics.median(c["change_ms"])


def gap_ms(c):
    return c["changing"]["gap_ns"] / 1e6


def mb(c):
    return c["memory"] / 1e6


SCALED = (  # title, function, form, as a part of no rules
    ("New connections per second that no rule selects", rate_of("connections"), "{:,.0f}", True),
    ("Packets per second that no rule selects (64 bytes, UDP)", rate_of("packets"), "{:,.0f}",
     True),
    ("Loading all of them, ms", lambda c: c["load_ms"], "{:,.0f}", False),
    ("Adding one entry, ms (the whole command, while connections are made)", change_ms,
     "{:,.1f}", False),
    ("Longest time without a new connection while entries are added, ms", gap_ms, "{:,.1f}",
     False),
    ("Kernel memory, MB", mb, "{:,.2f}", False),
)


def scaled_cell(s, kind, n, function, form, is_part):
    values = s.values(kind, n, function)
    if not values:
        return "-"
    text = span(values, form.format)
    ratios = s.ratios(kind, n, function) if is_part else []
    return text + (f", {percent(ratios)}" if ratios else "")


def scaling_tables(s):
    for title, function, form, is_part in SCALED:
        rows = []
        if is_part and s.cases[NONE, 0]:
            rows.append([NONE, span(s.values(NONE, 0, function), form.format)]
                        + ["" for _ in s.sizes[1:]])
        rows += [[kind] + [scaled_cell(s, kind, n, function, form, is_part) for n in s.sizes]
                 for kind in s.kinds]
        yield title, ["rules or prefixes"] + [f"{n:,}" for n in s.sizes], rows


# ---- words ---------------------------------------------------------------------------------------

METHOD = [
    "Three network namespaces, client - host - server, joined by veth at its defaults, IPv4, reno. "
    "Client, server and proxy share two CPUs. The proxy is the same shuntd with the same settings "
    "in each way that has one, two threads, the host's own source address; only what brings flows "
    "to it differs. Each way selects the same flows: TCP from the client to some ports.",
    "Each round measures each way once, in rotated order, in namespaces made anew. A way is "
    "measured after a connection has shown which address the server sees and which sockets are on "
    "the host, and that a port that no rule names is left alone; in the first round the host must "
    "be afterwards as it was before. Medians, with (least..most) of the rounds; percentages are of "
    "direct (of no rules) in the same round. Absolute figures drift, ratios less so; differences "
    "under 10 % mean nothing.",
    "iptables-tproxy is iptables-legacy; its and nft's TPROXY take packets of established flows "
    "by their socket match, first, without conntrack. nft-redirect is NAT, so has conntrack, for "
    "all that passes the host. In these three ways shunt's programs are on an interface that no "
    "flow comes by. The tc ways include shunt's SK_LOOKUP program, which is always beside them; "
    "tc-loopback is tc-tcx with up --deliver loopback, without a routing rule. "
    "ebpf-route forwards the flows in eBPF, without a proxy, and is compared with direct.",
    "CPU of the proxy is that of its threads. CPU of the whole machine is that of everything, "
    "also of what others run on it, client and server included: for direct it is what the load "
    "itself costs.",
    "Datagrams count when they arrive. Bystanders are what every flow on the host pays for rules "
    "that are not about it.",
    "Scaling: N rules (or one rule with a set or map of N prefixes), none of which selects the "
    "flows that are measured. shunt-loopback is shunt-set with up --deliver loopback; the other two "
    "of shunt have its routing rule and route, those of netfilter have theirs not. An entry is "
    "added by the tool's own command, its start included, while connections are made; the longest gap is between two of them. Memory is what shunt's "
    "maps (memlock) and ipset say of themselves, else the growth of Slab and VmallocUsed, which "
    "others on the machine disturb.",
]


def failure_lines(report):
    data, scaling = report
    n = sum(len(r) for r in data.results.values()) + sum(len(c) for c in scaling.cases.values())
    yield (f"{n} runs measured, {len(data.failures) + len(scaling.failures)} failed and "
           "discarded.")
    for f in data.failures:
        yield f"round {f['round']}, {f['way']}, {f['load']}: {f['failed'].strip()}"
    for f in scaling.failures:
        yield f"round {f['round']}, {f['kind']}, {f['n']:,}: {f['failed'].strip()}"
    for (way, load), why in data.left_out.items():
        yield f"{way}, {load}: left out: {why.strip()}"


def sections(report):
    """(heading, function of compare_charts, tables)"""
    data, scaling = report
    yield "The ways", "way_charts", [summary(data), *load_tables(data)]
    if scaling.kinds:
        yield "By the number of rules", "scaling_charts", list(scaling_tables(scaling))


# ---- Markdown ------------------------------------------------------------------------------------


def md_table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def markdown(report):
    data, _ = report
    yield "# Ways to a proxy, measured"
    yield ""
    yield "Written by `bench/compare_report.py` from what `bench/compare.sh` measured: run that"
    yield "again rather than edit this."
    yield ""
    for name, value in data.environment.items():
        yield f"- {name}: {'`' + value + '`' if name == 'command' else value}"
    yield ""
    if busy_words(data.environment):
        yield from (busy_words(data.environment).strip(), "")
    for heading, _, tables in sections(report):
        yield f"## {heading}"
        yield ""
        for title, header, rows in tables:
            yield f"### {title}"
            yield ""
            yield from md_table(header, rows)
    yield "## How it was measured"
    yield ""
    for paragraph in METHOD:
        yield from (paragraph, "")
    first, *others = failure_lines(report)
    yield first
    yield ""
    for line in others:
        yield f"- {line}"


# ---- HTML ----------------------------------------------------------------------------------------

STYLE = """
:root { --page: #fcfcfa; --card: #ffffff; --ink: #1d2021; --soft: #6b6f72; --line: #d9dad6;
  --netfilter: #b8501f; --netfilter2: #d99a3d; --netfilter3: #8d6a9f; --shunt: #1f6fb8;
  --shunt2: #4aa3c7; --route: #2f8f5b; --direct: #7c8084; --ipset: #c2577a; }
@media (prefers-color-scheme: dark) { :root { --page: #16181a; --card: #1e2124; --ink: #e6e6e3;
  --soft: #a0a4a8; --line: #3a3e42; --netfilter: #e5875a; --netfilter2: #e0b268;
  --netfilter3: #b99bcb; --shunt: #5fa8e6; --shunt2: #7cc6de; --route: #62bd8b;
  --direct: #9a9ea2; --ipset: #e58aa6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; background: var(--page);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 2rem 0 .4rem; }
p, ul { max-width: 45rem; }
.charts { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); }
figure { margin: 0; padding: .6rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .4rem; }
figcaption { font-weight: 600; font-size: .9rem; }
figcaption small { display: block; font-weight: 400; color: var(--soft); }
figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: system-ui, sans-serif !important; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--page); }
thead th { color: var(--soft); font-weight: 600; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .1rem 1rem; font-size: .85rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
"""


def html_table(title, header, rows):
    yield f"<h3>{html.escape(title)}</h3><div class=table><table><thead><tr>"
    yield "".join(f"<th>{html.escape(h)}</th>" for h in header)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>"
    yield "</tbody></table></div>"


def figures(name, report):
    import compare_charts  # not for a line of progress: matplotlib takes its time

    yield "<div class=charts>"
    for title, note, svg in compare_charts.charts(getattr(compare_charts, name), *report,
                                                  sys.modules[__name__]):
        yield (f"<figure><figcaption>{html.escape(title)}<small>{html.escape(note)}</small>"
               f"</figcaption>{svg}</figure>")
    yield "</div>"


def page(report):
    data, _ = report
    yield "<!doctype html><html lang=en><head><meta charset=utf-8>"
    yield '<meta name=viewport content="width=device-width, initial-scale=1">'
    yield '<meta name=color-scheme content="light dark">'
    yield f"<title>Ways to a proxy, measured</title><style>{STYLE}</style></head><body>"
    yield "<h1>Ways to a proxy, measured</h1>"
    yield (f"<p>One proxy, shuntd, behind netfilter and behind shunt's eBPF, beside plain "
           f"forwarding. {html.escape(data.environment.get('date', ''))}, Linux "
           f"{html.escape(data.environment.get('kernel', ''))}, commit "
           f"{html.escape(data.environment.get('commit', ''))}.</p>")
    yield f"<p>{html.escape(busy_words(data.environment))}</p>"
    for heading, charts, tables in sections(report):
        yield f"<h2>{html.escape(heading)}</h2>"
        yield from figures(charts, report)
        for table in tables:
            yield from html_table(*table)
    yield "<h2>How it was measured</h2>"
    yield from (f"<p>{html.escape(p)}</p>" for p in METHOD)
    yield "<ul>" + "".join(f"<li>{html.escape(f)}</li>" for f in failure_lines(report)) + "</ul>"
    yield "<dl>" + "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>"
                           for k, v in data.environment.items()) + "</dl>"
    yield "</body></html>"


# ---- what is called ------------------------------------------------------------------------------


def read(path):
    with open(path, encoding="utf-8") as f:
        report = json.load(f)
    return Data(report), Scaling(report["scaling"])


def write(path, lines):
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines).rstrip() + "\n")


def make(directory):
    join(directory, "compare.json", scaling="scaling")
    report = read(os.path.join(directory, "compare.json"))
    write(os.path.join(directory, "compare.md"), markdown(report))
    write(os.path.join(directory, "compare.html"), page(report))


def busy_words(environment):
    """What is to be said of a machine that had other work, else nothing."""
    load = environment["load average at the start"].split()[0]
    if float(load) < 1:
        return ""
    return (f"The machine had other work (load average {load}; nice value of the run "
            f"{environment['nice value']}), so the figures are rough: CPU of the proxy and "
            "differences by factors can be trusted, differences by parts cannot. ")


def key_figures(report):
    data, scaling = report
    e = data.environment
    yield (f"{e['date']}, Linux {e['kernel']}, commit {e['commit']}, by `{e['command']}`. "
           f"{busy_words(e)}Medians of {e['rounds']} rounds.")
    yield ""
    yield from md_table(*summary(data)[1:])
    if scaling.kinds:
        for title, header, rows in list(scaling_tables(scaling))[:4]:
            yield f"{title}:"
            yield ""
            yield from md_table(header, rows)


def docs(path, directory):
    report = read(path)
    write(os.path.join(directory, "comparison-figures.md"), markdown(report))
    write(os.path.join(directory, "comparison-figures.html"), page(report))
    name = os.path.join(directory, "comparison.md")
    with open(name, encoding="utf-8") as f:
        text = f.read()
    figures_text = "\n".join(key_figures(report)).rstrip() + "\n\n"
    text, n = re.subn(r"(<!-- figures -->\n).*?(<!-- end of figures -->)",
                      lambda m: m[1] + figures_text + m[2], text, flags=re.S)
    if n != 1:
        sys.exit(f"{name}: not one place for figures")
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)


def line(load, result):
    r = json.loads(result)
    parts = [f"{m.text(m.function(r))} {m.title}" for m in LOADS[load][1]
             if (m is not FAILED or r["failed"]) and not (m.of_proxy and not r["cpu_ns"])]
    return ", ".join(parts[:3])


def scaling_line(text):
    c = json.loads(text)
    parts = [f"{rate_of('connections')(c):,.0f} connections/s",
             f"{rate_of('packets')(c):,.0f} packets/s"]
    if "load_ms" in c:
        parts += [f"loaded in {c['load_ms']:,.0f} ms", f"one more in {change_ms(c):,.1f} ms"]
    return ", ".join(parts)


def main(arguments):
    commands = {"--make": (make, 1), "--docs": (docs, 2), "--line": (line, 2),
                "--scaling-line": (scaling_line, 1)}
    if not arguments or arguments[0] not in commands \
            or len(arguments) - 1 != commands[arguments[0]][1]:
        sys.exit(__doc__)
    text = commands[arguments[0]][0](*arguments[1:])
    if text:
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])
