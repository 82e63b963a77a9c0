# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""The charts of compare_report.py, by matplotlib, as SVG that stands in a page.

Colours are the page's own (CSS variables), so that one picture is for light and dark. matplotlib
draws with stand-ins, #0c0d00 and so on, which are replaced in what it wrote.
"""

import io
import re
import statistics

import matplotlib
import matplotlib.ticker

matplotlib.use("svg")

import matplotlib.pyplot as plt  # noqa: E402  after the backend was chosen

from report import GBIT, P50, P99, RATE  # noqa: E402

VARIABLES = ("ink", "soft", "line", "netfilter", "netfilter2", "netfilter3", "shunt", "shunt2",
             "route", "direct", "ipset")
STAND_IN = {name: f"#0c0d{i:02x}" for i, name in enumerate(VARIABLES)}

# What belongs together has one colour; a name says the rest.
COLOUR = {
    "direct": "direct", "iptables-tproxy": "netfilter", "nft-tproxy": "netfilter",
    "nft-redirect": "netfilter", "tc-clsact": "shunt", "tc-tcx": "shunt", "tc-loopback": "shunt",
    "ebpf-route": "route",
}
LINE = {  # colour, marker, dashes
    "iptables-rules": ("netfilter", "s", "-"), "iptables-ipset": ("ipset", "D", "--"),
    "nft-rules": ("netfilter2", "v", "-"), "nft-set": ("netfilter3", "^", "--"),
    "nft-map": ("netfilter3", "x", ":"), "shunt-rules": ("shunt", "o", "-"),
    "shunt-set": ("shunt2", "o", "--"), "shunt-loopback": ("shunt2", "P", ":"),
}

STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "shunt", "font.size": 10, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": STAND_IN["line"],
    "axes.labelcolor": STAND_IN["soft"], "xtick.color": STAND_IN["soft"],
    "ytick.color": STAND_IN["ink"], "text.color": STAND_IN["ink"],
    "grid.color": STAND_IN["line"], "grid.linewidth": 0.6, "axes.axisbelow": True,
    "legend.frameon": False, "legend.fontsize": 9,
}
WIDTH = 4.4
# 10,000 instead of powers of ten
PLAIN = matplotlib.ticker.FuncFormatter(lambda v, _: f"{v:,.10g}")


def svg_of(figure):
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05,
                   metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = out.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    for name, colour in STAND_IN.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def unique(svg, number):
    """ids that no other picture of the page has"""
    svg = re.sub(r'id="([^"]+)"', rf'id="c{number}-\1"', svg)
    svg = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#c{number}-\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#c{number}-\1)", svg)


# ---- the ways ------------------------------------------------------------------------------------


def bars(rows, label):
    """rows: (name, colour, value, (least, most), text); the first is on top."""
    figure, ax = plt.subplots(figsize=(WIDTH, 0.6 + 0.34 * len(rows)))
    rows = rows[::-1]
    top = max(r[3][1] for r in rows)
    ax.barh([r[0] for r in rows], [r[2] for r in rows], 0.62,
            color=[STAND_IN[r[1]] for r in rows])
    for i, (_, _, value, (low, high), text) in enumerate(rows):
        if high > low:
            ax.plot((low, high), (i, i), color=STAND_IN["ink"], linewidth=1)
        ax.text(max(value, high) + top * 0.02, i, text, va="center", fontsize=9)
    ax.set_xlim(0, top * 1.22)
    ax.set_xlabel(label)
    ax.tick_params(left=False)
    ax.grid(axis="x")
    return figure


def ratio_chart(data, load, metric):
    rows = []
    for way in data.ways:
        ratios = [100 * r for r in data.ratios(way, load, metric)]
        if ratios:
            middle = statistics.median(ratios)
            rows.append((way, COLOUR[way], middle, (min(ratios), max(ratios)), f"{middle:.0f} %"))
    return bars(rows, "% of direct") if len(rows) > 1 else None


def value_chart(data, load, metric, unit):
    rows = []
    for way in data.ways:
        values = data.values(way, load, metric)
        if values:
            middle = statistics.median(values)
            rows.append((way, COLOUR[way], middle, (min(values), max(values)),
                         metric.text(middle)))
    return bars(rows, unit) if rows else None


def latency_chart(data, load):
    """p50 and p99 of each way: a dot each, with a line between them."""
    rows = [(way, data.median(way, load, P50), data.median(way, load, P99)) for way in data.ways
            if data.results[way, load]][::-1]
    if not rows:
        return None
    figure, ax = plt.subplots(figsize=(WIDTH, 0.6 + 0.34 * len(rows)))
    for i, (way, p50, p99) in enumerate(rows):
        colour = STAND_IN[COLOUR[way]]
        ax.plot((p50, p99), (i, i), color=colour, linewidth=2)
        ax.plot(p50, i, "o", color=colour)
        ax.plot(p99, i, "|", color=colour, markersize=11, markeredgewidth=2)
        ax.annotate(f"{p50:,.0f} .. {p99:,.0f}", (p99, i), (6, 0), textcoords="offset points",
                    va="center", fontsize=9)
    ax.set_yticks(range(len(rows)), [r[0] for r in rows])
    ax.set_xlim(0, max(r[2] for r in rows) * 1.45)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel("microseconds: dot p50, bar p99")
    ax.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(4))
    ax.xaxis.set_major_formatter(PLAIN)
    ax.tick_params(left=False)
    ax.grid(axis="x")
    return figure


# ---- scaling -------------------------------------------------------------------------------------


def lines_chart(scaling, function, label, with_base):
    figure, ax = plt.subplots(figsize=(WIDTH, 3.6))
    for kind in scaling.kinds:
        colour, marker, dashes = LINE[kind]
        points = [(n, statistics.median(scaling.values(kind, n, function)))
                  for n in scaling.sizes if scaling.cases[kind, n]]
        # What was freed by others meanwhile makes a small growth of memory negative.
        points = [(n, value) for n, value in points if value > 0]
        if points:
            ax.plot(*zip(*points), color=STAND_IN[colour], marker=marker, linestyle=dashes,
                    markersize=5, linewidth=1.6, label=kind)
    if with_base and scaling.cases["none", 0]:
        ax.axhline(statistics.median(scaling.values("none", 0, function)), linewidth=1,
                   color=STAND_IN["direct"], linestyle=":", label="no rules")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.xaxis.set_major_formatter(PLAIN)
    ax.yaxis.set_major_formatter(PLAIN)
    ax.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    ax.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    ax.tick_params(axis="x", labelsize=8)
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel("rules, or prefixes of the set")
    ax.set_ylabel(label)
    ax.grid()
    ax.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2), ncol=2)
    return figure


# ---- all of them ---------------------------------------------------------------------------------


def way_charts(data, _, r):
    yield ("New connections", "per second, 64 in parallel",
           ratio_chart(data, "connections-64", RATE))
    yield "Time to first byte", "of a new connection, 64 in parallel", latency_chart(
        data, "connections-64")
    yield ("Requests", "of 64 bytes, per second, 64 kept connections",
           ratio_chart(data, "requests-64", RATE))
    yield "Request latency", "64 bytes, 1 kept connection", latency_chart(data, "requests-1")
    for load, title, note in (("up-1", "Bulk up", "1 stream"), ("up-4", "Bulk up", "4 streams"),
                              ("down-1", "Bulk down", "1 stream"),
                              ("down-4", "Bulk down", "4 streams")):
        yield title, f"Gbit/s, {note}", ratio_chart(data, load, GBIT)
    yield ("CPU of bulk", "whole machine, both ends included, up, 4 streams",
           value_chart(data, "up-4", r.ALL_GB, "CPU seconds per GB"))
    yield ("CPU of connections", "whole machine, both ends included",
           value_chart(data, "connections-64", r.ALL_1000, "CPU seconds per 1,000"))
    yield ("Small packets", "64 bytes by UDP, flows the way is for",
           ratio_chart(data, "packets-16", RATE))
    yield ("Bystanders", "64 bytes by UDP, packets per second that no rule selects",
           ratio_chart(data, "others-16", RATE))


def scaling_charts(_, scaling, r):
    for (title, function, _, with_base), unit in zip(
            r.SCALED, ("per second", "per second", "ms", "ms", "ms", "MB")):
        yield title, "by the number of rules", lines_chart(scaling, function, unit, with_base)


def charts(makers, data, scaling, r):
    """(title, note, SVG) of each that has anything to show; r: compare_report"""
    with plt.rc_context(STYLE):
        for number, (title, note, figure) in enumerate(makers(data, scaling, r)):
            if figure:
                yield title, note, unique(svg_of(figure), f"{makers.__name__}{number}")
