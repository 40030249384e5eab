// How the θ playground looks, in a notebook and in a page.

import { FRAME, THEME } from "../browser/screen.js";
import { DRAWING } from "./drawing_style.js";
import { IMAGE, INPUT } from "./panels.js";
import { PIXEL_STYLE } from "./pixel_style.js";
import { PULL_STYLE } from "./pull_style.js";

export const STYLE = `${THEME}
${DRAWING}
${PULL_STYLE}
.stn-theta .tools, .stn-theta .looks, .stn-theta .strip { display: flex; flex-wrap: wrap; gap: 6px 8px; align-items: center; margin: 0 0 8px; }
.stn-theta .tools:empty, .stn-theta .strip:empty { display: none; }
.stn-theta .looks label { display: inline-flex; gap: 5px; align-items: center; min-height: 30px; margin-left: 4px; }
.stn-theta .stage { position: relative; display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: flex-start; max-width: 100%; }
.stn-theta figure { margin: 0; max-width: 100%; }
.stn-theta figcaption { color: var(--stn-quiet); font-size: 13px; }
.stn-theta canvas { display: block; max-width: 100%; image-rendering: pixelated; }
.stn-theta .board { position: relative; width: ${INPUT}px; max-width: 100%; overflow: hidden; border-radius: 4px; }
.stn-theta .board canvas { width: 100%; aspect-ratio: 1; }
.stn-theta[data-tool="hand"] .board { touch-action: none; cursor: grab; }
.stn-theta .board.held { cursor: grabbing; }
.stn-theta .out { display: flex; flex-direction: column; gap: 8px; width: ${IMAGE}px; max-width: 100%; }
.stn-theta .small { display: flex; gap: 16px; margin-top: 8px; }
.stn-theta .small .input { width: ${INPUT / 2}px; } .stn-theta .small .output { width: ${IMAGE / 2}px; align-self: flex-start; }
.stn .handle { position: absolute; width: 26px; height: 26px; min-height: 0; margin: -13px 0 0 -13px; padding: 0; border: 0;
  background: none; cursor: grab; touch-action: none; }
.stn .handle:hover { background: none; }
.stn .handle[hidden] { display: none; }
.stn .handle::after { content: ""; position: absolute; inset: 7px; background: #fff; border: 2px solid #000; border-radius: 2px; }
.stn .handle[data-handle="inside"]::after { inset: 8px; border-radius: 50%; background: ${FRAME}; }
.stn .handle[data-handle="turn"]::after { inset: 5px; border-radius: 50%; background: ${FRAME}; }
.stn .handle:focus-visible { outline: none; z-index: 1; }
.stn .handle:focus-visible::after { outline: 3px solid var(--stn-first); outline-offset: 2px; }
.stn-theta .matrix { display: flex; flex-wrap: wrap; align-items: center; gap: 4px 8px; font: 15px/1.4 monospace; margin: 8px 0 2px; }
.stn-theta .matrix table { border: solid; border-width: 0 2px; border-radius: 6px; border-collapse: separate; margin: 0; }
.stn-theta .matrix td { padding: 0 9px; text-align: right; background: none; color: var(--stn-ink); font: inherit; }
.stn-theta .matrix .first { color: var(--stn-first); } .stn-theta .matrix .second { color: var(--stn-second); }
.stn-theta .matrix .moved { font-weight: bold; text-decoration: underline; }
.stn-theta .key { color: var(--stn-quiet); font-size: 13px; }
.stn-theta .key span { white-space: nowrap; }
.stn-theta .key .first { color: var(--stn-first); } .stn-theta .key .second { color: var(--stn-second); }
.stn-theta p { margin: 2px 0 6px; max-width: 60ch; }
.stn-theta .verdict { margin: 0; min-height: 1.4em; }
.stn-theta ol.answers { display: flex; list-style: none; margin: 0; padding: 0; }
.stn-theta ol.answers[hidden] { display: none; }
.stn-theta ol.answers li { margin: 0; }
.stn-theta .columns li { flex: 1; text-align: center; }
.stn-theta .columns .track { display: flex; align-items: flex-end; height: 56px; margin: 0 3px; border-bottom: 1px solid var(--stn-line); }
.stn-theta .columns .bar { width: 100%; height: calc(100% * var(--p, 0)); background: var(--stn-line); }
.stn-theta .rows { flex-direction: column; gap: 2px; }
.stn-theta .rows li { display: flex; flex-direction: row-reverse; gap: 8px; align-items: center; }
.stn-theta .rows .track { flex: 1; height: 11px; } .stn-theta .rows .name { width: 8em; overflow-wrap: anywhere; }
.stn-theta .rows .bar { display: block; height: 100%; width: calc(100% * var(--p, 0)); background: var(--stn-line); }
.stn-theta .answers .best .bar { background: var(--stn-accent); } .stn-theta .answers .best .name { font-weight: bold; }
.stn-theta .answers .truth .name { text-decoration: underline 2px; }
${PIXEL_STYLE}
.stn-theta .matrix > span:first-child { white-space: nowrap; } .stn-theta .help { color: var(--stn-quiet); font-size: 13px; margin: 0; max-width: 72ch; }
.stn-theta:not([data-tool="hand"]) .key { display: none; }
.stn-theta.wide { display: grid; grid-template-columns: 580px minmax(0, 1fr); column-gap: 24px; align-content: start; }
.stn-theta.wide > * { grid-column: 1; } .stn-theta.wide > .below { grid-column: 2; grid-row: 1 / span 9; }
@media (max-width: 520px) { /* both panels beside each other; a pad wants to be large */
  .stn-theta .stage { flex-wrap: nowrap; gap: 8px; }
  .stn-theta .stage > figure { flex: 3; min-width: 0; } .stn-theta .stage > .out { flex: 2; min-width: 0; }
  .stn-theta[data-tool="draw"] .stage { flex-wrap: wrap; } .stn-theta[data-tool="draw"] .stage > figure { flex: 1 0 100%; }
  .stn-theta[data-tool="draw"] .stage > .out { flex: 1 0 100%; flex-direction: row; gap: 16px; }
  .stn-theta[data-tool="draw"] .answering { flex: 1; } .stn-theta[data-tool="draw"] .out canvas { width: 128px; }
  .stn-theta .help { font-size: 12px; }
}`;
