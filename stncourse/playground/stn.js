// What the playgrounds' scripts share: grid and sampler, as affine_grid and grid_sample of torch are for one grey image;
// and what a page does with them. stncourse/playground/scripts.py puts this in front of the scripts that import it.

export const GREY = "rgb(200, 200, 200)", ORANGE = "rgb(255, 159, 28)"; // as in picture.py

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

function padded(x, count, { padding_mode, sampler_align_corners }) {
  if (padding_mode === "zeros") return x;
  const inside = padding_mode === "reflection" ? reflect(x, count, sampler_align_corners) : x;
  return Math.min(Math.max(inside, 0), count - 1);
}

// To the nearest whole number; halves to the even one, as torch rounds.
function nearest(x) {
  const floor = Math.floor(x);
  return x - floor === 0.5 ? floor + (floor % 2 ? 1 : 0) : Math.round(x);
}

// Cubic convolution with A = -0.75, for the four neighbours of a point that lies t after the second of them.
function cubic(t) {
  const A = -0.75;
  const near = (u) => ((A + 2) * u - (A + 3)) * u * u + 1;
  const far = (u) => ((A * u - 5 * A) * u + 8 * A) * u - 4 * A;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

// In a page

// Bytes that Python has sent, as numbers.
export function bytes(model, name) {
  const { buffer, byteOffset, byteLength } = model.get(name);
  return new Uint8Array(buffer, byteOffset, byteLength);
}

export function floats(model, name) {
  return new Float32Array(bytes(model, name).slice().buffer); // a copy is aligned
}

export function greyImage(pixels, height, width) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < pixels.length; i++) image.data.set([pixels[i], pixels[i], pixels[i], 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// At most one drawing per frame of the screen.
export function onceAFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      draw();
    });
  };
}
