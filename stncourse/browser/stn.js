// The spatial transformer in JavaScript: grid and sampler, as affine_grid and grid_sample of torch are for one grey image.
// Pure functions: no page is needed. Held to torch by tests/browser.

// Grid

// The i-th of `count` pixel centres, in [-1, 1].
export function pixelCenter(i, count, alignCorners) {
  if (alignCorners) return count > 1 ? (2 * i) / (count - 1) - 1 : 0;
  return (2 * i + 1) / count - 1;
}

// [-1, 1] -> pixels: the other way round.
export function toPixels(x, count, alignCorners) {
  return alignCorners ? ((x + 1) / 2) * (count - 1) : ((x + 1) * count - 1) / 2;
}

// Sampler

// A function (row, column) -> grey level over `outside`, which is what it finds outside of the image.
export function greyLevels(pixels, height, width, outside = 0) {
  return (row, column) =>
    row >= 0 && row < height && column >= 0 && column < width ? pixels[row * width + column] - outside : 0;
}

// The grey level at a place (x, y) in pixels. `at`: see greyLevels; `how`: mode, padding_mode, sampler_align_corners.
export function sampleAt(at, x, y, height, width, how) {
  if (how.mode === "bicubic") return bicubic(at, x, y, height, width, how);
  [x, y] = [padded(x, width, how), padded(y, height, how)];
  return how.mode === "nearest" ? at(nearest(y), nearest(x)) : bilinear(at, x, y);
}

export function bilinear(at, x, y) {
  const left = Math.floor(x), top = Math.floor(y), right = x - left, below = y - top;
  return (
    (1 - below) * ((1 - right) * at(top, left) + right * at(top, left + 1)) +
    below * ((1 - right) * at(top + 1, left) + right * at(top + 1, left + 1))
  );
}

function bicubic(at, x, y, height, width, how) {
  const left = Math.floor(x), top = Math.floor(y);
  const across = cubic(x - left), down = cubic(y - top);
  let sum = 0;
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++)
      sum += down[i] * across[j] * at(padded(top + i - 1, height, how), padded(left + j - 1, width, how));
  return sum;
}

// Back and forth between the image's edges (or, with align_corners, its outer pixel centres).
function reflect(x, count, alignCorners) {
  const low = alignCorners ? 0 : -0.5, span = alignCorners ? count - 1 : count;
  if (span === 0) return 0;
  const distance = Math.abs(x - low), rest = distance % span;
  return Math.floor(distance / span) % 2 ? span - rest + low : rest + low;
}

// Where a place, in pixels, lies once the padding has brought it into the image; with zeros it stays outside.
export function padded(x, count, { padding_mode, sampler_align_corners }) {
  if (padding_mode === "zeros") return x;
  const inside = padding_mode === "reflection" ? reflect(x, count, sampler_align_corners) : x;
  return Math.min(Math.max(inside, 0), count - 1);
}

// To the nearest whole number; halves to the even one, as torch rounds.
export function nearest(x) {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2 ? 1 : 0) : Math.round(x);
}

// Cubic convolution with A = -0.75, for the four neighbours of a point that lies t after the second of them.
export function cubic(t) {
  const A = -0.75;
  const near = (u) => ((A + 2) * u - (A + 3)) * u * u + 1;
  const far = (u) => ((A * u - 5 * A) * u + 8 * A) * u - 4 * A;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

// Both

// Grey levels of `pixels` (height × width) through θ (output → input), row by row, not rounded. `how`: a scene, see
// playground/scene.py.
export function sampled(pixels, theta, how) {
  const { height, width, out_height, out_width } = how;
  const outside = outsideOf(how), at = greyLevels(pixels, height, width, outside);
  const output = new Float64Array(out_height * out_width);
  for (let row = 0, to = 0; row < out_height; row++)
    for (let column = 0; column < out_width; column++, to++) {
      const [x, y] = placeInPixels(theta, row, column, how);
      output[to] = outside + sampleAt(at, x, y, height, width, how);
    }
  return output;
}

// grid_sample pads with 0: as in Sampler, what shall be outside is moved to 0 for the time being.
export function outsideOf({ padding_mode, padding_value }) {
  return padding_mode === "zeros" ? padding_value : 0;
}

// Where an output pixel looks: [x, y] on the input's ruler, -1 … 1.
export function placeOf([a, b, tx, c, d, ty], row, column, { out_height, out_width, grid_align_corners }) {
  const x = pixelCenter(column, out_width, grid_align_corners), y = pixelCenter(row, out_height, grid_align_corners);
  return [a * x + b * y + tx, c * x + d * y + ty];
}

// The same in the input's pixels, rounded as torch rounds.
export function placeInPixels(theta, row, column, how) {
  const f32 = Math.fround, align = how.sampler_align_corners;
  const [x, y] = placeOf(theta, row, column, how);
  return [f32(toPixels(f32(x), how.width, align)), f32(toPixels(f32(y), how.height, align))];
}

// sampled() as pixels of a screen: a Uint8ClampedArray.
export function warp(pixels, theta, how) {
  return Uint8ClampedArray.from(sampled(pixels, theta, how));
}
