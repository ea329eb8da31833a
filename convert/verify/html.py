"""The stages's report as one HTML file that needs no other: its images are inside, and it has no script."""

from __future__ import annotations

import base64
import math
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from convert.verify.compare import Difference
from convert.verify.report import closeness, describe, image_name, status
from convert.verify.state import Shown, StageResult
from convert.verify.verify import TITLES, Report

_STYLE = """
:root { --paper: #fbfaf7; --card: #fff; --ink: #1d2430; --soft: #667085; --line: #e4e0d8; --rail: #b9a88a;
  --ok: #1f8a5b; --bad: #c8322b; --off: #a9b0bb; --track: #eeebe4; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171c; --card: #1c2128; --ink: #e6e9ee; --soft: #98a2b3;
  --line: #2c333d; --rail: #6b5f4a; --ok: #45c08a; --bad: #ff6b62; --off: #5b6572; --track: #272d36; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 27px; margin: 0 0 4px; letter-spacing: -.01em; } h2 { font-size: 17px; margin: 0; }
.facts, .soft, figcaption { color: var(--soft); } .facts { margin: 0 0 20px; } code { font-size: 13px; }
.verdict { border-left: 5px solid var(--ok); background: var(--card); padding: 14px 20px; border-radius: 4px;
  margin-bottom: 32px; box-shadow: 0 1px 3px #0000001a; } .verdict.failed { border-color: var(--bad); }
.verdict strong { display: block; font-size: 18px; }
.state { display: grid; grid-template-columns: 216px minmax(0, 1fr); gap: 32px; align-items: start; }
.stages { position: sticky; top: 24px; } .stages svg { width: 100%; height: auto; display: block; }
.stages text { font: 13px system-ui, sans-serif; fill: var(--ink); } .stages .skipped text { fill: var(--soft); }
.stage { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px;
  margin-bottom: 16px; overflow-x: auto; } .stage.failed { border-color: var(--bad); }
.stage header { display: flex; gap: 10px; align-items: baseline; flex-wrap: wrap; }
.stage header .soft { margin-left: auto; font-size: 13px; }
.mark { font-size: 12px; font-weight: 600; text-transform: uppercase; letter-spacing: .05em; }
.number .soft { font-size: 12px; }
.ok .mark, td.ok { color: var(--ok); } .failed .mark, td.bad { color: var(--bad); }
.skipped .mark { color: var(--soft); }
.skipped p { margin: 6px 0 0; color: var(--soft); }
table { border-collapse: collapse; width: 100%; margin-top: 12px; font-size: 14px;
  table-layout: fixed; min-width: 620px; }
td:nth-child(1), th:nth-child(1) { width: 116px; } th:nth-child(2) { width: 168px; } th:nth-child(3) { width: 76px; }
th:nth-child(4) { width: 68px; } th:nth-child(5) { width: 140px; }
th { text-align: left; font-weight: 500; color: var(--soft); font-size: 12px; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; } td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.note { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
tr.bad td.note { color: var(--ink); } td.bar { padding-top: 9px; }
figure { margin: 16px 0 0; } figure img { max-width: 100%; border-radius: 6px; display: block; }
figcaption { font-size: 13px; margin-top: 6px; }
.pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; } .pairs img { width: 100%; }
.previous { margin-top: 40px; }
@media (max-width: 820px) { .state { grid-template-columns: 1fr; } .stages { position: static; max-width: 260px; } }
"""
_DECADES_BELOW, _DECADES_ABOVE = 6, 2
_LONGEST_SIDE = 720
_COLORS = {"ok": "var(--ok)", "failed": "var(--bad)", "skipped": "var(--off)"}
_WORDS = {"ok": "within tolerance", "failed": "out of tolerance", "skipped": "not climbed"}


def as_html(report: Report) -> str:
    """The page."""
    stages = "".join(_rung(stage, report) for stage in report.stages)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Parity stages: {escape(report.bundle.manifest.name)}</title><style>{_STYLE}</style></head><body><main>
<h1>{escape(report.bundle.manifest.name)}</h1><p class="facts">{_facts(report)}</p>
{_verdict(report)}
<div class="state"><nav class="stages">{_ladder(report)}</nav><div>{stages}</div></div>
{_compared(report)}
<p class="soft below">Each stage is compared with the one named beside it. A bar ends where the worst difference lies, on
a logarithmic scale: the tick is the limit, a whole bar is a hundred times the limit, an empty one a millionth.</p>
</main></body></html>
"""


def _facts(report: Report) -> str:
    manifest = report.bundle.manifest
    height, width = manifest.preprocess.size
    engine = escape(f"{manifest.engine} {manifest.engine_version} for {manifest.target}, {manifest.precision}")
    return f"{engine} · input {height} × {width} · bundle <code>{report.bundle.id[:16]}</code>"


def _verdict(report: Report) -> str:
    first = report.first
    if first is None:
        left = [TITLES[stage.name] for stage in report.stages if status(stage) == "skipped"]
        tail = f"<span class='soft'>Not climbed: {'; '.join(left)}.</span>" if left else ""
        return f"<div class='verdict'><strong>Every stage is within its tolerance</strong>{tail}</div>"
    stage, difference = first
    name = image_name(difference, report)
    where = f" in {escape(name)}" if name else ""
    return (
        f"<div class='verdict failed'><strong>The first stage out of tolerance: {escape(TITLES[stage.name])}</strong>"
        f"Its first tensor: <b>{escape(difference.tensor)}</b>{where}. {escape(describe(difference))}</div>"
    )


def _ladder(report: Report) -> str:
    """Two rails, and a stage for each stage, the first at the foot."""
    step, top, rails = 44, 26, (8, 76)
    height = step * len(report.stages) + 2 * top - step
    parts = [f"<svg viewBox='0 0 216 {height}' role='img' aria-label='The stages from the foot up'>"]
    parts += [
        f"<line x1='{x}' x2='{x}' y1='3' y2='{height - 3}' stroke='var(--rail)' stroke-width='5'"
        " stroke-linecap='round'/>"
        for x in rails
    ]
    for number, stage in enumerate(report.stages):
        y, state = height - top - step * number, status(stage)
        dashes = " stroke-dasharray='3 7'" if state == "skipped" else ""
        parts.append(
            f"<a href='#{stage.name}' class='{state}'><title>{escape(TITLES[stage.name])}: {_WORDS[state]}</title>"
            f"<line x1='{rails[0]}' x2='{rails[1]}' y1='{y}' y2='{y}' stroke='{_COLORS[state]}' stroke-width='7'"
            f" stroke-linecap='round'{dashes}/><text x='{rails[1] + 18}' y='{y + 5}'>{stage.name}</text></a>"
        )
    return "".join([*parts, "</svg>"])


def _rung(stage: StageResult, report: Report) -> str:
    state = status(stage)
    beside = [f"against {escape(TITLES.get(stage.against, stage.against))}"] if stage.against else []
    beside += [f"{stage.seconds:.1f} s"] if stage.seconds >= 0.05 else []
    body = f"<p>{escape(stage.skipped)}</p>" if state == "skipped" else _table(stage, report)
    return (
        f"<section class='stage {state}' id='{stage.name}'><header><h2>{escape(TITLES[stage.name])}</h2>"
        f"<span class='mark'>{_WORDS[state]}</span><span class='soft'>{', '.join(beside)}</span></header>"
        f"{body}{_figure(stage.shown) if stage.shown else ''}</section>"
    )


def _table(stage: StageResult, report: Report) -> str:
    heads = "<tr><th>tensor</th><th>worst</th><th>mean</th><th>limit</th><th></th><th></th></tr>"
    if all(item.worst is None for item in stage.differences):
        heads = ""
    return f"<table>{heads}{''.join(_row(item, report) for item in stage.differences)}</table>"


def _row(item: Difference, report: Report) -> str:
    state = "ok" if item.ok else "bad"
    name = image_name(item, report) if not item.ok else None
    note = escape("; ".join(filter(None, [item.note, name and f"in {name}"])))
    name_cell = f"<td class='{state}'>{escape(item.tensor)}</td>"
    if item.worst is None:
        return f"<tr class='{state}'>{name_cell}<td class='note' colspan='5'>{note}</td></tr>"
    unit = f" <span class='soft'>{escape(item.unit)}</span>" if item.unit else ""
    return (
        f"<tr class='{state}'>{name_cell}<td class='number'>{_number(item.worst)}{unit}</td>"
        f"<td class='number'>{_number(item.mean)}</td><td class='number'>{_number(item.limit)}</td>"
        f"<td class='bar'>{_bar(item)}</td><td class='note'>{note}</td></tr>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _bar(item: Difference) -> str:
    """How near the worst is to the limit, a decade every so many pixels."""
    if item.worst is None or not item.limit:
        return ""
    decades = _DECADES_BELOW + _DECADES_ABOVE
    near = closeness(item)
    place = _DECADES_BELOW + math.log10(near) if 0 < near < math.inf else (0.0 if near == 0 else decades)
    length, tick = (120 * min(max(at, 0.0), decades) / decades for at in (place, _DECADES_BELOW))
    color = _COLORS["ok" if item.ok else "failed"]
    return (
        f"<svg width='120' height='12' role='img' aria-label='{near:.2g} of the limit'>"
        f"<rect y='3' width='120' height='6' rx='3' fill='var(--track)'/>"
        f"<rect y='3' width='{length:.1f}' height='6' rx='3' fill='{color}'/>"
        f"<rect x='{tick - 1:.1f}' width='2' height='12' fill='var(--ink)'/></svg>"
    )


def _compared(report: Report) -> str:
    if not report.compared:
        return ""
    rows = "".join(f"<div class='pairs'>{''.join(map(_figure, c.shown))}</div>" for c in report.compared)
    return f"<section class='previous'><h2>The images, from the foot to the top</h2>{rows}</section>"


def _figure(shown: Shown) -> str:
    caption = escape(shown.caption)
    return f"<figure><img alt='{caption}' src='{_inline(shown.pixels)}'><figcaption>{caption}</figcaption></figure>"


def _inline(pixels: NDArray[np.uint8]) -> str:
    shrink = _LONGEST_SIDE / max(pixels.shape[:2])
    if shrink < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    _, png = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"
