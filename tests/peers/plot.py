"""Draws results.json: for each network the time of every runtime relative to Cardinal's, batch 1 and one thread first."""

import json
import statistics
import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


def main():
    rows = json.load(open(sys.argv[1]))["rows"]
    settings = sorted({(row["batch"], row["threads"]) for row in rows})
    figure, axes = plt.subplots(len(settings), 1, figsize=(12, 3.2 * len(settings)), squeeze=False)
    for axis, (batch, threads) in zip(axes[:, 0], settings):
        chosen = [row for row in rows if (row["batch"], row["threads"]) == (batch, threads)]
        runtimes = sorted({name for row in chosen for name in row["times"]}, key=lambda name: (name != "cardinal", name))
        width = 0.8 / max(len(runtimes), 1)
        for i, runtime in enumerate(runtimes):
            places, heights = [], []
            for place, row in enumerate(chosen):
                if runtime in row["times"] and "cardinal" in row["times"]:
                    places.append(place + (i - len(runtimes) / 2) * width)
                    own = statistics.median(row["times"]["cardinal"])
                    heights.append(statistics.median(row["times"][runtime]) / own)
            axis.bar(places, heights, width, label=runtime)
        axis.set_ylim(0, 4)  # the slowest peers are cut off; the table has their figures
        axis.axhline(1, color="black", linewidth=0.8)
        axis.set_xticks(range(len(chosen)), [row["network"] for row in chosen])
        axis.set_ylabel("time / Cardinal's")
        axis.set_title(f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}")
        axis.legend(fontsize="small", ncols=4)
    figure.tight_layout()
    figure.savefig(sys.argv[2], dpi=120)


if __name__ == "__main__":
    main()
