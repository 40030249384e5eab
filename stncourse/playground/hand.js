// What a hand does to the frame: pure geometry. θ is six numbers (output → input); a place is [x, y] on the input's ruler.
// A handle has its place `u` on the output's ruler: where it lies there, it always lies on the frame.

const LEAST = 0.02; // no drag squeezes a side of the frame to nothing

export const HANDLES = {
  inside: { u: [0, 0], text: "the frame" },
  "top left": { u: [-1, -1], text: "top left corner" },
  "top right": { u: [1, -1], text: "top right corner" },
  "bottom right": { u: [1, 1], text: "bottom right corner" },
  "bottom left": { u: [-1, 1], text: "bottom left corner" },
  top: { u: [0, -1], text: "top edge" },
  right: { u: [1, 0], text: "right edge" },
  bottom: { u: [0, 1], text: "bottom edge" },
  left: { u: [-1, 0], text: "left edge" },
  turn: { u: [0, -1], text: "turning handle on the thick edge" },
};

const times = ([a, b, , c, d], [x, y]) => [a * x + b * y, c * x + d * y];

// Where a place of the output's ruler lies on the input.
export function placeOn(theta, u) {
  const [x, y] = times(theta, u);
  return [x + theta[2], y + theta[5]];
}

// How far p is from q, in the frame's own sides; null where the frame is a line.
function inFrame([a, b, , c, d], p, q) {
  const determinant = a * d - b * c, [x, y] = [p[0] - q[0], p[1] - q[1]];
  if (Math.abs(determinant) < 1e-9) return null;
  return [(d * x - b * y) / determinant, (a * y - c * x) / determinant];
}

const notNothing = (factor) => (Math.abs(factor) < LEAST ? (factor < 0 ? -LEAST : LEAST) : factor);

// The frame with its sides multiplied, so that the place `u` of it stays where it is.
function scaled(theta, [sx, sy], u) {
  const [a, b, , c, d] = theta, [x, y] = placeOn(theta, u);
  const sides = [a * sx, b * sy, 0, c * sx, d * sy, 0], [dx, dy] = times(sides, u);
  return [sides[0], sides[1], x - dx, sides[3], sides[4], y - dy];
}

function shifted([a, b, tx, c, d, ty], [dx, dy], oneWay) {
  if (oneWay) [dx, dy] = Math.abs(dx) > Math.abs(dy) ? [dx, 0] : [0, dy];
  return [a, b, tx + dx, c, d, ty + dy];
}

// Turned about its centre by `degrees`.
export function turned([a, b, tx, c, d, ty], degrees) {
  const angle = (degrees * Math.PI) / 180, cos = Math.cos(angle), sin = Math.sin(angle);
  return [cos * a - sin * c, cos * b - sin * d, tx, sin * a + cos * c, sin * b + cos * d, ty];
}

function turnedTo(theta, from, to, inSteps) {
  const angle = ([x, y]) => (Math.atan2(y - theta[5], x - theta[2]) * 180) / Math.PI;
  const now = (Math.atan2(theta[3], theta[0]) * 180) / Math.PI;
  let by = angle(to) - angle(from);
  if (inSteps) by = 15 * Math.round((now + by) / 15) - now;
  return turned(theta, by);
}

// The edge at `u` slides along itself; the opposite one stays.
function sheared([a, b, tx, c, d, ty], u, [along, across]) {
  const half = u[0] ? across / 2 : along / 2, sign = u[0] || u[1];
  const slide = u[0] ? [half * b, half * d] : [half * a, half * c]; // of the edge's middle, and of the centre by half
  const [p, q] = slide.map((value) => value * sign);
  const sides = u[0] ? [a + p, b, c + q, d] : [a, b + p, c, d + q];
  return [sides[0], sides[1], tx + slide[0], sides[2], sides[3], ty + slide[1]];
}

// θ after a handle was dragged from one place to another. shift: a constraint (one direction only; the same proportions;
// both sides alike; steps of 15°). alt: an edge slides along itself, which shears the frame.
export function dragged(theta, handle, from, to, { shift = false, alt = false } = {}) {
  if (handle === "inside") return shifted(theta, [to[0] - from[0], to[1] - from[1]], shift);
  if (handle === "turn") return turnedTo(theta, from, to, shift);
  const { u } = HANDLES[handle], moved = inFrame(theta, to, from);
  if (!moved) return theta;
  const corner = u[0] && u[1], opposite = [-u[0], -u[1]];
  if (!corner && alt) return sheared(theta, u, moved);
  const grown = (k, reach) => (u[k] ? notNothing(1 + (moved[k] * u[k]) / reach) : 1);
  if (!corner && shift) return scaled(theta, [grown(0, 1), grown(1, 1)], [0, 0]);
  let factors = [grown(0, 2), grown(1, 2)];
  if (corner && shift) factors = Array(2).fill(notNothing((factors[0] + factors[1]) / 2));
  return scaled(theta, factors, opposite);
}

// How far the frame, or the image, reaches from the middle; the image's longer side reaches to 1.
export function extent(theta, { height, width }) {
  const [wide, high] = [width / Math.max(height, width), height / Math.max(height, width)];
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map((u) => placeOn(theta, u));
  return Math.max(1, ...corners.flatMap(([x, y]) => [Math.abs(x) * wide, Math.abs(y) * high]));
}

// How much is shown: from the middle of the image to the panel's side. Only as far out as the frame needs, by steps.
export function reachFor(theta, scene) {
  let [reach, next] = [1.5, 2];
  while (reach < 1.04 * extent(theta, scene)) [reach, next] = [next, 2 * reach];
  return reach;
}

// As far from `from` to `to` as the frame stays within the reach.
export function within(from, to, reach, scene) {
  const fits = (theta) => extent(theta, scene) * 1.02 <= reach;
  if (fits(to)) return to;
  const at = (share) => from.map((value, i) => value + share * (to[i] - value));
  let [low, high] = [0, 1];
  for (let i = 0; i < 10; i++) {
    const middle = (low + high) / 2;
    if (fits(at(middle))) low = middle;
    else high = middle;
  }
  return at(low);
}
