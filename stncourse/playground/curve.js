// A curve of how sure the classifier is, against the steps of a descent: the inside of an SVG, as text.

export const WIDE = 320, HIGH = 150;
const START = 46, END = 308, UP = 10, DOWN = 114;

// A round number of steps for the axis to reach to, and between its ticks.
export function axisFor(steps) {
  const between = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000].find((size) => 4 * size >= steps) ?? 10000;
  return { between, end: between * Math.max(2, Math.ceil(steps / between)) };
}

// `probabilities`: at the start and after each step.
export function curveOf(probabilities) {
  const steps = probabilities.length - 1, { between, end } = axisFor(steps);
  const x = (step) => START + ((END - START) * step) / end, y = (p) => DOWN - (DOWN - UP) * p;
  const point = (p, step) => `${x(step).toFixed(1)},${y(p).toFixed(1)}`;
  const ticks = [];
  for (let step = 0; step <= end; step += between)
    ticks.push(`<path class="axis" d="M${x(step)} ${DOWN}v5"/><text x="${x(step)}" y="${DOWN + 17}" text-anchor="middle">${step}</text>`);
  for (const p of [0, 0.5, 1])
    ticks.push(`<path class="axis" d="M${START} ${y(p)}h-5"/><text x="${START - 8}" y="${y(p) + 4}" text-anchor="end">${100 * p} %</text>`);
  return `<path class="axis" d="M${START} ${UP}V${DOWN}H${END}"/>${ticks.join("")}
    <text x="${(START + END) / 2}" y="${HIGH - 4}" text-anchor="middle">steps</text>
    <polyline class="sure" points="${probabilities.map(point).join(" ")}"/>
    <circle cx="${x(steps)}" cy="${y(probabilities[steps])}" r="4"/>`;
}
