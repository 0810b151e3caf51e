#!/usr/bin/env python3
"""Makes the table of what bench/gpu/run measured: table.py FOLDER [RESULTS].

Prints it; with RESULTS, a folder, also writes gpu-NAME.md and gpu-NAME.json there, NAME the device's.
"""
import datetime
import json
import pathlib
import re
import sys

PRODUCT = "bf16 product 8192^3"
COMMAND = "bench/gpu/run speed && bench/gpu/table.py"


def lines(file):
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]


def share(row):
    return "" if row["floor"] is None else f"{100 * row['floor'] / row['value']:.0f} %"


def floor(entry, product):
    """Milliseconds that the encode's product alone takes at the rate of the large one; None for other works."""
    sizes = {name: int(size) for name, size in re.findall(r"\b([BDF]) (\d+)", entry["shape"])}
    if product is None or not entry["work"].startswith("TopK encode"):
        return None
    return product * sizes["B"] * sizes["D"] * sizes["F"] / 8192 ** 3


def main(folder, results=None):
    device = (folder / "device").read_text().strip().split("\n")[0] if (folder / "device").exists() else "unknown device"
    commit = (folder / "commit").read_text().split()[0][:10] if (folder / "commit").exists() else "unknown"
    peers = lines(folder / "peers.jsonl")
    versions = next((p for p in peers if "torch" in p), {})
    best, ceilings = {}, []
    for p in peers:
        if p.get("work") == "ceiling":
            ceilings.append(p)
        elif "work" in p:
            key = p["work"], p["shape"]
            if key not in best or p["milliseconds"] < best[key]["milliseconds"]:
                best[key] = p
    ours = [p for p in lines(folder / "rhumb.jsonl")]
    copies = {p["shape"]: p for p in ours if p["work"] == "copy"}
    product = next((c["milliseconds"] for c in ceilings if c["shape"] == PRODUCT), None)
    rows = []
    for p in ours:
        peer = best.get((re.sub(r"( EXACT_BF16| bf16)?( wgmma)?$", "", p["work"]), p["shape"]))
        reference = None if peer is None else (peer["who"], peer["milliseconds"])
        if p["work"] == "steered decode" and p["shape"] in copies:
            reference = ("a copy of x", copies[p["shape"]]["milliseconds"])
        rows.append({
            "work": p["work"], "shape": p["shape"], "backend": "cuda", "threads": 1, "metric": "median of 7",
            "value": p["milliseconds"], "unit": "ms", "reference": reference and reference[0],
            "reference_value": reference and reference[1],
            "ratio": reference and reference[1] / p["milliseconds"], "floor": floor(p, product), "spread": p["spread"], "command": COMMAND,
            "commit": commit, "machine": device, "date": datetime.date.today().isoformat()})
    text = [f"# Kernels on {device.split(',')[0]}", "",
            "| work | shape | ms | spread | against | ms | ratio | of the product's floor |",
            "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        reference = ("", "", "") if r["reference"] is None else (
            r["reference"], f"{r['reference_value']:.4g}", f"{r['ratio']:.3g}")
        text.append(f"| {r['work']} | {r['shape']} | {r['value']:.4g} | {100 * r['spread']:.0f} % | "
                    + " | ".join(reference) + f" | {share(r)} |")
    text.append("")
    for c in ceilings:
        text.append(f"Ceiling: {c['shape']} in {c['milliseconds']:.4g} ms.")
    text += ["", f"Device: {device}; torch {versions.get('torch', 'none')}.  ", f"Commit: {commit}.  ",
             f"Command: `{COMMAND}`.  ", f"Date: {datetime.date.today().isoformat()}.  ",
             "Ratio: the other's median by ours; the best of PyTorch's is taken. Both in one run of one machine.  ",
             "Floor: the encode's product alone, at the rate of the large product.", ""]
    print("\n".join(text))
    if results:
        name = "gpu-" + re.sub(r"[^a-z0-9]+", "-", device.split(",")[0].lower()).strip("-")
        (results / f"{name}.md").write_text("\n".join(text))
        (results / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


main(*map(pathlib.Path, sys.argv[1:3]))
