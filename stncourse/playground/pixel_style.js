// How the tool looks that asks a pixel: see pixel.js.

export const PIXEL_STYLE = `
.stn-theta .asking { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; pointer-events: none; }
.stn-theta[data-tool="pixel"] .stage canvas.output { cursor: crosshair; touch-action: none; }
.stn-theta .traced { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: flex-start; margin-top: 8px;
  font-variant-numeric: tabular-nums; }
.stn-theta .traced > div { flex: 1 1 240px; min-width: 0; } .stn-theta .traced > .around { flex: none; max-width: 100%; }
.stn-theta .traced > .answer { flex-basis: 100%; } .stn-theta .traced .piece { image-rendering: auto; }
.stn-theta .traced .asks { min-height: 2.9em; }
.stn-theta .traced ol { list-style: none; margin: 0 0 8px; padding: 0; }
.stn-theta .traced li { margin: 0 0 5px; }
.stn-theta .traced .what { display: block; color: var(--stn-quiet); font-size: 13px; }
.stn-theta .traced .sum { display: block; padding-left: 1em; text-indent: -1em; font-size: 13px; overflow-wrap: anywhere; }
.stn-theta .traced .sum b { font-weight: 600; }
.stn-theta .traced .colour { display: flex; align-items: center; gap: 8px; margin: 6px 0; }
.stn-theta .traced .patch { flex: none; width: 30px; height: 30px; border: 2px solid var(--stn-ink); border-radius: 4px; }
.stn-theta .traced .outside { min-height: 1.45em; }
.stn-theta .traced figcaption { width: 0; min-width: 100%; }`;
