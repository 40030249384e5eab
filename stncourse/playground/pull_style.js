// How the tool "pull" looks.

export const PULL_STYLE = `
.stn-theta .pull-strip { display: contents; }
.stn-theta .pull-strip label { display: inline-flex; gap: 6px; align-items: center; }
.stn-theta .pull { max-width: 600px; font-variant-numeric: tabular-nums; }
.stn-theta .pull .numbers { display: flex; flex-wrap: wrap; gap: 4px 16px; }
.stn-theta .pull .numbers > div { flex: 0 1 auto; max-width: 300px; } .stn-theta .pull .numbers > figure { flex: 1 1 230px; max-width: 320px; }
.stn-theta .pull .six { display: flex; align-items: center; gap: 8px; margin: 6px 0; white-space: nowrap; }
.stn-theta .pull table { border: solid; border-width: 0 2px; border-radius: 6px; border-collapse: separate; margin: 0; font: 14px/1.4 monospace; }
.stn-theta .pull td { min-width: 3.4em; padding: 0 4px; text-align: right; background: none; color: inherit; font: inherit; }
.stn-theta .pull .key-arrow { font-weight: bold; }
.stn-theta .pull .key-arrow.small-pull { color: #2088c8; }
.stn-theta .pull svg { display: block; width: 100%; height: auto; }
.stn-theta .pull svg text { fill: var(--stn-ink); font: 12px system-ui, sans-serif; }
.stn-theta .pull svg .axis { stroke: var(--stn-line); fill: none; }
.stn-theta .pull svg .sure { stroke: var(--stn-accent); stroke-width: 2.5; stroke-linejoin: round; fill: none; }
.stn-theta .pull svg circle { fill: var(--stn-accent); }
.stn-theta .pull .ending { min-height: 2.9em; font-weight: bold; }
.stn-theta .pull .step-size { white-space: nowrap; }`;
