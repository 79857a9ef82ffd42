"""The style sheet of the HTML report. The two versions differ in brightness too, for who sees colours
otherwise."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
:root{color-scheme:light dark;--ground:#fff;--text:#1b1f24;--dim:#59636e;--line:#d8dde3;--one:#1f5fa8;
--two:#d9730d;--good:#1a7f37;--bad:#b42318;--warn:#8a5a00;--faint:#b9c0c8;--track:#eef1f4}
@media (prefers-color-scheme:dark){:root{--ground:#0f1419;--text:#e6e9ed;--dim:#9aa4b0;--line:#2b333c;
--one:#6cb2f5;--two:#f2a057;--good:#56d364;--bad:#ff8078;--warn:#e3b341;--faint:#59636e;--track:#1c232b}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif;
overflow-wrap:break-word}
main{max-width:1080px;margin:0 auto;padding:24px 16px 64px}
h1{margin:4px 0;font-size:28px;line-height:1.2}
h2{margin:0 0 8px;font-size:18px}
section{margin-top:32px;padding-top:16px;border-top:1px solid var(--line)}
ul{margin:8px 0;padding-left:20px}
p{margin:4px 0}
.lead{font-size:17px}
.dim{color:var(--dim)}
.warn{color:var(--warn)}
.bad{color:var(--bad)}
.verdict{text-transform:uppercase;letter-spacing:.04em}
.pass{color:var(--good)}
.fail{color:var(--bad)}
.undecided{color:var(--warn)}
.mark{font-weight:600}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse;font-size:14px}
th,td{padding:6px 12px 6px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:500;white-space:nowrap}
.number{white-space:nowrap;font-variant-numeric:tabular-nums}
code{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}
td{min-width:56px;overflow-wrap:anywhere}
.words{min-width:220px}
td:first-child{min-width:180px}
.picture{display:block;width:100%;height:auto}
.bar{display:block;width:120px;height:8px;margin:4px 0}
svg text{fill:var(--dim);font-size:12px}
svg .grid{stroke:var(--line)}
svg .line{fill:none;stroke-width:2}
svg .line.one,svg .area.one{stroke:var(--one)}
svg .area{fill-opacity:.18;stroke-width:1.6}
svg .area.one{fill:var(--one)}
svg .area.two{fill:var(--two);stroke:var(--two);stroke-dasharray:5 3}
svg .dot{fill:var(--one)}
svg .dot.bad,svg rect.bad{fill:var(--bad)}
svg .column,svg .faint{fill:var(--faint)}
svg .track{fill:var(--track)}
.legend{display:flex;align-items:center;gap:6px}
.key{width:18px;height:0;border-top:3px solid var(--one);margin-left:10px}
.key.one{margin-left:0}
.key.two{border-top:3px dashed var(--two)}
@media (max-width:640px){main{padding:16px 12px 48px}svg text{font-size:17px}th,td{padding-right:8px}
.wide{scrollbar-width:thin}table{min-width:680px}}
@media print{section{break-inside:avoid}}
"""
