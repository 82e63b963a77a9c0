#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""report.py: tables of what relay.sh has measured.

    report.py RELAY.JSON             print the tables (Markdown)
    report.py --document RELAY.JSON  the same as a page, with how it was measured
    report.py --join DIR             make DIR/relay.json of DIR/runs and DIR/environment
    report.py --line LOAD RESULT     one result as a line of progress
"""

import json
import os
import statistics
import sys
from collections import defaultdict

BASE = "direct"
OWN = ("shuntd", "shuntd-client", "shuntd-poll")

# ---- what is computed of a result ------------------------------------------------------------


def rate(r):
    return r["n"] / r["seconds"]


def cpu_us_each(r):
    return r["cpu_ns"] / r["n"] / 1e3


class Metric:
    """One column: how it is computed of a result, and which way is better."""

    def __init__(self, title, function, form, higher_is_better=False, of_proxy=False):
        self.title = title
        self.function = function
        self.form = form
        self.higher_is_better = higher_is_better
        self.of_proxy = of_proxy  # plain forwarding has none

    def text(self, value):
        return "-" if value is None else self.form.format(value)


GBIT = Metric("Gbit/s", lambda r: r["bytes"] * 8 / r["seconds"] / 1e9, "{:.1f}", True)
CPU_GB = Metric("proxy CPU-s per GB", lambda r: r["cpu_ns"] / r["bytes"], "{:.3f}", of_proxy=True)
RATE = Metric("per second", rate, "{:,.0f}", True)
P50 = Metric("p50 us", lambda r: r["p50_ns"] / 1e3, "{:,.1f}")
P99 = Metric("p99 us", lambda r: r["p99_ns"] / 1e3, "{:,.1f}")
CPU_EACH = Metric("proxy CPU us each", cpu_us_each, "{:.1f}", of_proxy=True)
CPU_1000 = Metric("proxy CPU-s per 1,000", lambda r: cpu_us_each(r) / 1e3, "{:.4f}",
                  of_proxy=True)
FAILED = Metric("failed", lambda r: r["failed"], "{:.0f}")
MEMORY = Metric("bytes each", lambda r: (r["memory_after"] - r["memory_before"])
                / r["connections"], "{:,.0f}", of_proxy=True)

BULK = (GBIT, CPU_GB)
REQUESTS = (RATE, P50, P99, CPU_EACH)
LOADS = {
    "up-1": ("Bulk from client to server, 1 stream", BULK),
    "up-4": ("Bulk from client to server, 4 streams", BULK),
    "down-1": ("Bulk from server to client, 1 stream", BULK),
    "down-4": ("Bulk from server to client, 4 streams", BULK),
    "connections-64": ("New connections, 64 in parallel (connect, 1 byte, 1 byte back, close)",
                       (RATE, P50, P99, CPU_1000, FAILED)),
    "requests-1": ("Requests of 64 bytes on 1 kept connection", REQUESTS),
    "one-cpu-1": ("Requests of 64 bytes on 1 kept connection, all on one CPU", REQUESTS),
    "requests-64": ("Requests of 64 bytes on 64 kept connections", REQUESTS),
    "idle-5000": ("User memory of the proxy for 5,000 idle connections", (MEMORY,)),
}


class Data:
    """What was measured, by way, load and round."""

    def __init__(self, report):
        self.environment = report["environment"]
        self.results = defaultdict(dict)  # (way, load) -> round -> result
        self.calls = {}  # (way, load) -> {call: number for each}
        self.failures = []
        self.left_out = {}  # (way, load) -> why
        counted = {}
        self.ways = []
        for run in report["runs"]:
            if run["way"] not in self.ways:
                self.ways.append(run["way"])
            at = (run["way"], run["load"])
            if "failed" in run:
                self.failures.append(run)
            elif "left_out" in run:
                self.left_out[at] = run["left_out"]
            elif "result" in run:
                self.results[at][run["round"]] = run["result"]
            elif "calls" in run:
                counted[at] = run["calls"]
            elif "under_trace" in run and run["under_trace"]["n"]:
                n = run["under_trace"]["n"]
                self.calls[at] = {k: v / n for k, v in counted[at].items()}

    def values(self, way, load, metric):
        """One for each round that went well."""
        if metric.of_proxy and way == BASE:
            return []
        return [metric.function(r) for r in self.results[way, load].values()]

    def median(self, way, load, metric):
        values = self.values(way, load, metric)
        return statistics.median(values) if values else None

    def ratios(self, way, load, metric):
        """To plain forwarding in the same round."""
        base = self.results[BASE, load]
        return [metric.function(r) / metric.function(base[i])
                for i, r in self.results[way, load].items()
                if i in base and metric.function(base[i])]

    def best_peer(self, load, metric):
        """(way, median) of the best that is not ours, or (None, None)."""
        found = [(self.median(w, load, metric), w) for w in self.ways
                 if w != BASE and w not in OWN]
        found = [f for f in found if f[0] is not None]
        if not found:
            return None, None
        value, way = max(found) if metric.higher_is_better else min(found)
        return way, value


# ---- tables ------------------------------------------------------------------------------------


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|---|" + "---:|" * (len(header) - 1)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def spread(values, text):
    """median (min..max)"""
    if not values:
        return "-"
    middle = text(statistics.median(values))
    if len(values) == 1:
        return middle
    return f"{middle} ({text(min(values))}..{text(max(values))})"


def load_rows(data, load, metrics):
    for way in data.ways:
        results = data.results[way, load]
        if not results:
            continue
        row = [way, spread(data.values(way, load, metrics[0]), metrics[0].text)]
        if metrics[0].higher_is_better:
            row.append(spread(data.ratios(way, load, metrics[0]), "{:.2f}".format))
        row += [spread(data.values(way, load, m), m.text) for m in metrics[1:]]
        lost = sum(1 for f in data.failures if f["way"] == way
                   and f["load"] in (load, "start", "verify") and f["round"])
        yield row + [f"{len(results)}" + (f", {lost} discarded" if lost else "")]


def load_tables(data):
    for load, (title, metrics) in LOADS.items():
        rows = [r for r in load_rows(data, load, metrics) if r[1] != "-"]
        if not rows:
            continue
        header = ["way", metrics[0].title]
        if metrics[0].higher_is_better:
            header.append("of direct")
        header += [m.title for m in metrics[1:]] + ["runs"]
        yield f"### {title}"
        yield ""
        yield from table(header, rows)


CALL_LOADS = (("connections-64", "per connection, 64 parallel"),
              ("requests-1", "per request, 1 connection"),
              ("requests-64", "per request, 64 connections"))


def calls_table(data):
    if not data.calls:
        return
    yield "### System calls of the proxy (in a run of its own)"
    yield ""
    ways = [w for w in data.ways if any(w == at[0] for at in data.calls)]
    yield from table(["way"] + [title for _, title in CALL_LOADS],
                     ([w] + [calls_text(data, w, load) for load, _ in CALL_LOADS] for w in ways))
    own = OWN[0]
    if (own, CALL_LOADS[0][0]) not in data.calls:
        return
    for load, title in CALL_LOADS:
        calls = {k: v for k, v in data.calls.get((own, load), {}).items()
                 if k != "all" and v >= 0.005}
        names = sorted(calls, key=calls.get, reverse=True)
        yield f"{own} {title}: " + ", ".join(f"{k} {calls[k]:.2f}" for k in names)
        yield ""


def calls_text(data, way, load):
    calls = data.calls.get((way, load))
    return f"{calls['all']:.2f}" if calls else "-"


# ---- shuntd and its goals ------------------------------------------------------------------------


class Goal:
    """A row of 'where shuntd stands': a number of ours, and the limit it must keep."""

    def __init__(self, title, own, peer, limit, at_least, text):
        self.title, self.own, self.peer = title, own, peer
        self.limit, self.at_least, self.text = limit, at_least, text

    def row(self):
        name, value = self.peer
        peer = "-" if value is None else f"{self.text(value)} ({name})"
        if self.limit is None:
            return [self.title, self.text(self.own), peer, "-", "-"]
        kept = self.own >= self.limit if self.at_least else self.own <= self.limit
        sign = "at least" if self.at_least else "at most"
        return [self.title, self.text(self.own), peer, f"{sign} {self.text(self.limit)}",
                "yes" if kept else "**no**"]


def scaled(value, factor):
    return None if value is None else value * factor


def bulk_goals(data, way):
    for load in ("up-1", "up-4", "down-1", "down-4"):
        ratios = data.ratios(way, load, GBIT)
        if not ratios:
            continue
        title = LOADS[load][0]
        peer, _ = data.best_peer(load, GBIT)
        theirs = data.ratios(peer, load, GBIT) if peer else []
        yield Goal(f"{title}: of direct", statistics.median(ratios),
                   (peer, statistics.median(theirs) if theirs else None), 0.85, True,
                   "{:.2f}".format)
        yield Goal(f"{title}: CPU-s per GB", data.median(way, load, CPU_GB),
                   data.best_peer(load, CPU_GB), 0.13, False, CPU_GB.text)


def connection_goals(data, way):
    load = "connections-64"
    if not data.results[way, load]:
        return
    for metric, at_least, factor in ((RATE, True, 1.2), (P99, False, 1)):
        best = data.best_peer(load, metric)
        yield Goal(f"New connections: {metric.title}", data.median(way, load, metric), best,
                   scaled(best[1], factor), at_least, metric.text)
    yield Goal("New connections: CPU ms each", data.median(way, load, CPU_1000),
               data.best_peer(load, CPU_1000), 0.070, False, "{:.3f}".format)


def added(data, way, load):
    """Microseconds over plain forwarding at one connection, by the rounds."""
    base = data.results[BASE, load]
    values = [P50.function(r) - P50.function(base[i])
              for i, r in data.results[way, load].items() if i in base]
    return statistics.median(values) if values else None


def request_goals(data, way):
    own = data.median(way, "requests-64", RATE)
    if own is not None:
        best = data.best_peer("requests-64", RATE)
        yield Goal("Requests, 64 connections: per second", own, best, scaled(best[1], 1.15),
                   True, RATE.text)
    for load, place in (("requests-1", ""), ("one-cpu-1", ", one CPU")):
        own = added(data, way, load)
        if own is None:
            continue
        peers = [(added(data, w, load), w) for w in data.ways if w != BASE and w not in OWN]
        value, name = min((p for p in peers if p[0] is not None), default=(None, None))
        yield Goal(f"Request, 1 connection{place}: us added to p50", own, (name, value),
                   scaled(value, 0.75), False, "{:.1f}".format)


def resource_goals(data, way):
    if data.results[way, "idle-5000"]:
        yield Goal("Idle connection: bytes of user memory", data.median(way, "idle-5000", MEMORY),
                   data.best_peer("idle-5000", MEMORY), 500, False, MEMORY.text)
    for (load, title), limit in zip(CALL_LOADS, (14, 4, 4)):
        if (way, load) not in data.calls:
            continue
        peers = [(c["all"], w) for (w, of), c in data.calls.items()
                 if of == load and w not in OWN]
        value, name = min(peers, default=(None, None))
        yield Goal(f"System calls {title}", data.calls[way, load]["all"], (name, value), limit,
                   False, "{:.2f}".format)


def goals_tables(data):
    for way in OWN:
        goals = [g for part in (bulk_goals, connection_goals, request_goals, resource_goals)
                 for g in part(data, way)]
        if goals:
            yield f"### Where {way} stands"
            yield ""
            yield from table([way, "is", "best peer", "goal", "reached"],
                             (g.row() for g in goals))


# ---- pages ---------------------------------------------------------------------------------------


def environment_lines(data):
    for name, value in data.environment.items():
        yield f"- {name}: {'`' + value + '`' if name == 'command' else value}"
    yield ""


def failure_lines(data):
    n_runs = sum(len(r) for r in data.results.values())
    yield f"{n_runs} runs measured, {len(data.failures)} failed and discarded."
    yield ""
    for f in data.failures:
        yield f"- round {f['round'] or '-'}, {f['way']}, {f['load']}: {f['failed'].strip()}"
    for (way, load), why in data.left_out.items():
        yield f"- {way}, {load}: left out: {why}"
    if data.failures or data.left_out:
        yield ""


def tables(data):
    yield from environment_lines(data)
    yield from failure_lines(data)
    yield from goals_tables(data)
    yield from load_tables(data)
    yield from calls_table(data)


METHOD = """# The relay, measured

Written by `bench/report.py` from what `bench/relay.sh` measured: run that again rather than
edit this.

Three network namespaces, client - host - server, joined by veth at its defaults, IPv4, reno.
Client, server and proxy share two CPUs, so a proxy pays for what it takes from them. Each round
measures each way once, in rotated order, in namespaces made anew; a way is measured only after
a connection has shown which address the server sees and which sockets are on the host. Medians,
with (least..most) of the rounds; ratios are to plain forwarding (`direct`) in the same round.
Absolute figures drift by 15 % within minutes, ratios do not; differences under 10 % mean nothing.

- CPU of a proxy is the time its threads were on a CPU, from /proc, within the measured window.
- Latency of a new connection counts from before connect() to the byte that came back.
- For requests on 1 connection the CPUs are kept from going idle: waking a virtual CPU costs more
  than all the rest and is not the proxy's.
  Still the scheduler's choice of CPUs is most of the spread, so that the same is measured with
  client, server and proxy on one CPU, too: there only the work counts.
- Memory is what is resident and not of a file, after one exchange on each connection, less what
  it was before the first.
- System calls are counted in runs of their own.
- `-64k` ways have buffers of 64 KiB, the other peers of 16 KiB. redsocks, which has no such
  setting and reads 4 KiB at a time, is given them by a preloaded library.
- HAProxy gets its connections by nft TPROXY. nginx cannot, as its listeners are not transparent,
  and redsocks is made for REDIRECT: both have that, and with it conntrack. redsocks needs a
  SOCKS5 server: the benchmark's own speaks it, so that no second relay is on the way.
"""


def document(data):
    yield METHOD
    yield from tables(data)


def read_lines(directory, name):
    with open(os.path.join(directory, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def join(directory, name="relay.json", **more):
    """more: files with lines of JSON, by the key they get"""
    with open(os.path.join(directory, "environment"), encoding="utf-8") as f:
        environment = dict(line.rstrip("\n").split("\t", 1) for line in f)
    report = {"environment": environment, "runs": read_lines(directory, "runs")}
    for key, file in more.items():
        report[key] = read_lines(directory, file)
    with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
        json.dump(report, f, indent=1)
        f.write("\n")


def line(load, result):
    r = json.loads(result)
    parts = []
    for metric in LOADS[load][1]:
        if metric.of_proxy and not r.get("cpu_ns", r.get("memory_after")):
            continue
        if metric is not FAILED or r["failed"]:
            parts.append(f"{metric.text(metric.function(r))} {metric.title}")
    return ", ".join(parts) or "held"


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "--join":
        join(arguments[1])
    elif len(arguments) == 3 and arguments[0] == "--line":
        print(line(*arguments[1:]))
    elif len(arguments) in (1, 2) and arguments[0] in ("--document", arguments[-1]):
        with open(arguments[-1], encoding="utf-8") as f:
            data = Data(json.load(f))
        page = document if arguments[0] == "--document" else tables
        print("\n".join(page(data)).rstrip())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
