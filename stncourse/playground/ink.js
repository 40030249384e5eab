// Ink: what a pen draws, as grey levels like MNIST's. Pure: strokes go in, pixels come out, always anew from the whole
// list. A stroke is { places, width, erases }: its places [x, y] and its width in pixels of the image, whose centres are
// whole numbers.

const EDGE = 1; // pixels from white to black across a line's border, as in MNIST's digits
const APART = 0.4; // pixels: places that lie closer are one
export const THICKNESS = { thin: 1.6, medium: 2.2, thick: 3 }; // pixels, of a line in an image of 28 × 28

// The width of a line in an image, in pixels. `thickness`: one of THICKNESS.
export function widthOf(thickness, { height, width }) {
  return (THICKNESS[thickness] * Math.max(height, width)) / 28;
}

// Grey levels, height × width, row by row: a Uint8Array.
export function inkOf(strokes, { height, width }) {
  const levels = new Float64Array(height * width);
  for (const { places, width: thickness, erases } of strokes) {
    const cover = coverOf(smoothed(places), thickness, height, width);
    for (let i = 0; i < levels.length; i++)
      levels[i] = erases ? levels[i] * (1 - cover[i]) : Math.max(levels[i], cover[i]);
  }
  return Uint8Array.from(levels, (level) => Math.round(255 * level));
}

// How much of each pixel a line covers, 0 to 1.
function coverOf(places, thickness, height, width) {
  const cover = new Float64Array(height * width), reach = (thickness + EDGE) / 2;
  const pairs = places.length > 1 ? places.slice(1).map((place, i) => [places[i], place]) : [[places[0], places[0]]];
  const first = (a, b) => Math.max(Math.ceil(Math.min(a, b) - reach), 0);
  const last = (a, b, count) => Math.min(Math.floor(Math.max(a, b) + reach), count - 1);
  for (const [from, to] of pairs)
    for (let row = first(from[1], to[1]), bottom = last(from[1], to[1], height); row <= bottom; row++)
      for (let column = first(from[0], to[0]), right = last(from[0], to[0], width); column <= right; column++) {
        const share = Math.min(Math.max((reach - distance([column, row], from, to)) / EDGE, 0), 1);
        const i = row * width + column;
        cover[i] = Math.max(cover[i], share);
      }
  return cover;
}

// How far a place is from the line between two.
function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay], squared = dx * dx + dy * dy;
  const share = squared && Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / squared, 0), 1);
  return Math.hypot(x - ax - share * dx, y - ay - share * dy);
}

// A freehand line without its corners: each is cut off, twice. Its ends stay.
function smoothed(places) {
  const end = places[places.length - 1];
  let line = [places[0]];
  for (const [x, y] of places) {
    const [lastX, lastY] = line[line.length - 1];
    if (Math.hypot(x - lastX, y - lastY) >= APART) line.push([x, y]);
  }
  if (places.length > 1) line[Math.max(line.length - 1, 1)] = end;
  const between = (a, b, share) => [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
  for (let i = 0; i < 2 && line.length > 2; i++) {
    const cut = line.slice(1).flatMap((place, k) => [between(line[k], place, 0.25), between(line[k], place, 0.75)]);
    line = [line[0], ...cut.slice(1, -1), end];
  }
  return line;
}

// The drawing turned by up to 45°, shrunk to 0.7 at the least (further where it would not fit) and moved, all of it on
// the image. Its places are moved, not its pixels, so it stays as sharp as it was. `random`: as Math.random.
export function spoiled(strokes, { height, width }, random = Math.random) {
  const pens = strokes.filter(({ erases }) => !erases);
  if (!pens.length) return strokes;
  const angle = ((2 * random() - 1) * Math.PI) / 4, cos = Math.cos(angle), sin = Math.sin(angle);
  const turn = ([x, y]) => [cos * x - sin * y, sin * x + cos * y];
  const all = pens.flatMap(({ places }) => places.map(turn)), thickest = Math.max(...pens.map((pen) => pen.width));
  const low = [0, 1].map((axis) => Math.min(...all.map((place) => place[axis])));
  const span = [0, 1].map((axis) => Math.max(...all.map((place) => place[axis])) - low[axis] + thickest);
  const room = [width, height].map((side) => side - EDGE);
  const scale = Math.min(1 - 0.3 * random(), room[0] / span[0], room[1] / span[1]);
  const start = [0, 1].map((axis) => (EDGE - 1 + scale * thickest) / 2 + random() * (room[axis] - scale * span[axis]));
  const move = (place) => turn(place).map((value, axis) => start[axis] + scale * (value - low[axis]));
  return strokes.map((stroke) => ({ ...stroke, places: stroke.places.map(move), width: scale * stroke.width }));
}
