// How the drawing tool looks: the pad over the input, and the pen on it.

export const DRAWING = `
.stn-theta .pad { position: absolute; inset: 0; touch-action: none; cursor: crosshair; user-select: none; }
.stn-theta .pad:focus-visible { outline-offset: -3px; }
.stn-theta .nib { position: absolute; aspect-ratio: 1; transform: translate(-50%, -50%); border-radius: 50%;
  pointer-events: none; visibility: hidden; box-shadow: inset 0 0 0 2px #fff, 0 0 0 2px #000; }
.stn-theta .pad:focus-visible .nib, .stn-theta .pad.down .nib { visibility: visible; }
@media (hover: hover) { .stn-theta .pad:hover .nib { visibility: visible; } }
.stn-theta .pad.down .nib { background: #0072b2; }
.stn-theta .pad.erases .nib { border-radius: 0; }
.stn-theta .drawing { display: contents; }
.stn-theta .drawing label { display: inline-flex; gap: 5px; align-items: center; }
.stn-theta .drawing [role="status"] { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); }
.stn-theta .drawing .help { flex-basis: 100%; margin: 0; color: var(--stn-quiet); font-size: 13px; max-width: none; }`;
