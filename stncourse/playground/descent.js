// Gradient descent on θ alone, the network frozen: θ ← θ − step size · ∂loss/∂θ. Pure functions: no page is needed.
// pull.py does the same in Python; tests/browser compares them.

import { slopes } from "../browser/network.js";

export const SURE = 0.99; // the probability at which a descent has arrived
export const GOOD = 0.9; // the least at which one that gets no further counts as a success
export const PATIENCE = 60; // steps after which a descent that gets no further is stuck
const FURTHER = 0.99; // of the best loss before: what a descent that gets further is below

// A descent at its start. `losses` and `path`: where it was, and where it is. `since`: where it was let go last.
export function descentFrom(network, image, theta, label) {
  const now = slopes(network, image, theta, label);
  return { network, image, label, theta: [...theta], now, losses: [now.loss], path: [[...theta]], since: 0 };
}

export function stepDown(descent, stepSize) {
  const { network, image, label, now } = descent;
  descent.theta = descent.theta.map((value, k) => value - stepSize * now.byTheta[k]);
  descent.now = slopes(network, image, descent.theta, label);
  descent.losses.push(descent.now.loss);
  descent.path.push(descent.theta);
}

// Why it makes no sense to go on: "arrived", "black" (the frame sees nothing else), "flat", "bottom", "stuck"; or null.
export function endOf({ losses, since, now }) {
  if (now.loss <= -Math.log(SURE)) return "arrived";
  if (now.byTheta.every((slope) => slope === 0)) return now.seen.every((value) => value === now.seen[0]) ? "black" : "flat";
  const recent = losses.slice(-PATIENCE), before = losses.slice(since, -PATIENCE);
  if (!before.length || Math.min(...recent) < FURTHER * Math.min(...before)) return null;
  return now.loss <= -Math.log(GOOD) ? "bottom" : "stuck";
}

// Where θ's slopes move the places of the output: the change of [x, y] at `u` for a step of size 1.
export function pulledAt(byTheta, [x, y]) {
  return [0, 3].map((k) => -(byTheta[k] * x + byTheta[k + 1] * y + byTheta[k + 2]));
}

// The `count` strongest of the pulls on the places: { place, pull }, both [x, y] on the input's ruler.
export function strongest(byPlace, places, count) {
  const length = (i) => Math.hypot(byPlace[2 * i], byPlace[2 * i + 1]);
  return Array.from({ length: byPlace.length / 2 }, (_, i) => i)
    .filter((i) => length(i) > 0)
    .sort((i, j) => length(j) - length(i))
    .slice(0, count)
    .map((i) => ({ place: [places[2 * i], places[2 * i + 1]], pull: [-byPlace[2 * i], -byPlace[2 * i + 1]] }));
}

// What has to be set otherwise, so that all is sampled as by the network itself: a list of words.
export function notTheNetworks(scene, { outputSize, outside, normalize }) {
  const differs = {
    "θ maps output → input": scene.inverse,
    "sampling bilinear": scene.mode !== "bilinear",
    "outside background": scene.padding_mode !== "zeros" || Math.abs(normalize(scene.padding_value) - outside) > 1e-3,
    "align_corners off": scene.grid_align_corners || scene.sampler_align_corners,
    [`output px ${outputSize}`]: scene.out_height !== outputSize || scene.out_width !== outputSize,
  };
  return Object.keys(differs).filter((words) => differs[words]);
}
