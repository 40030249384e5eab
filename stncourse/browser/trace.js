// One output pixel's question, step by step: the place where it looks, what lies around it, and the sum that is its colour.
// Pure functions: no page is needed. tests/browser holds the sum to sampled() and to torch.

import { cubic, greyLevels, nearest, outsideOf, padded, pixelCenter, placeInPixels, placeOf, sampleAt } from "./stn.js";

// Function (row, column) -> { level, inside, row, column }: the grey level that the sampler finds at whole numbers, the image
// or what the padding puts around it; and the pixel of the image that it is read from.
export function readerOf(pixels, scene) {
  const { height, width } = scene, outside = outsideOf(scene), at = greyLevels(pixels, height, width, outside);
  return (row, column) => {
    const inside = row >= 0 && row < height && column >= 0 && column < width;
    const read = { row: padded(row, height, scene), column: padded(column, width, scene) };
    return { ...read, inside, level: outside + at(read.row, read.column) };
  };
}

// What an output pixel asks and is answered. `theta`: output → input. `scene`: see playground/scene.py. Returns
// target, source: [x, y] on the ruler of the output and of the input; place: the source in pixels;
// across, down: [{ index, weight }] along each axis; neighbours: [{ row, column, weight, level, inside, read }];
// sum: the colour; level: the same as a screen shows it.
export function traced(pixels, theta, row, column, scene) {
  const { height, width, out_height, out_width, grid_align_corners: align } = scene;
  const place = placeInPixels(theta, row, column, scene), look = readerOf(pixels, scene);
  const across = along(place[0], width, scene), down = along(place[1], height, scene);
  const neighbours = down.flatMap((vertical) =>
    across.map((horizontal) => {
      const place = { row: vertical.index, column: horizontal.index };
      const { level, inside, ...read } = look(place.row, place.column);
      return { ...place, weight: vertical.weight * horizontal.weight, level, inside, read };
    }),
  );
  const outside = outsideOf(scene), at = greyLevels(pixels, height, width, outside);
  const sum = outside + sampleAt(at, ...place, height, width, scene);
  return {
    target: [pixelCenter(column, out_width, align), pixelCenter(row, out_height, align)],
    source: placeOf(theta, row, column, scene),
    place, across, down, neighbours, sum,
    level: Uint8ClampedArray.of(sum)[0],
  };
}

// The neighbours of a place along one axis, also outside the image. grid_sample brings the *place* into the image and then
// takes its neighbours; to take the neighbours first, and bring each of them in, is the same.
function along(x, count, how) {
  const floor = Math.floor(x), t = x - floor;
  if (how.mode === "nearest") {
    const read = nearest(padded(x, count, how)); // halves are rounded where the place is brought to
    const index = [nearest(x), floor, floor + 1].find((each) => padded(each, count, how) === read) ?? read;
    return [{ index, weight: 1 }];
  }
  const [first, weights] = how.mode === "bicubic" ? [floor - 1, cubic(t)] : [floor, [1 - t, t]];
  return weights.map((weight, i) => ({ index: first + i, weight }));
}
