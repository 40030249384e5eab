// The shipped STNClassifier in a page: its weights out of their safetensors file, what it says of an image, and the
// slopes of its loss. Pure functions on typed arrays; float64 sums of float32 weights. Held to torch by
// tests/browser/test_network.py.

import { bilinear, greyLevels, pixelCenter, toPixels } from "./stn.js";

// Weights

// The tensors of a safetensors file: name -> { shape, data }, data a Float32Array.
export function tensorsIn(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (dtype !== "F32") throw new Error(`${name}: expected F32, got ${dtype}`);
    const own = bytes.slice(8 + length + offsets[0], 8 + length + offsets[1]); // a copy is aligned
    tensors[name] = { shape, data: new Float32Array(own.buffer) };
  }
  return tensors;
}

// A network to ask: { tensors, size, outputSize, normalize: (grey 0 … 255) => the network's scale, outside }.
export function networkOf(bytes, { size, outputSize, mean, std }) {
  const normalize = (grey) => (grey / 255 - mean) / std;
  return { tensors: tensorsIn(bytes), size, outputSize, normalize, outside: normalize(0) };
}

// Layers. A picture is { channels, height, width, data }.

// Add to a row of `out` a row of `data` times the first weight, the row one further on times the second, and so on. Five at
// once, the width of most filters: memory is read and written less, and all takes less than half the time.
function addWeighted(out, start, count, data, first, weights) {
  const end = start + count;
  let k = 0;
  for (; k + 5 <= weights.length; k += 5) {
    const a = weights[k], b = weights[k + 1], c = weights[k + 2], d = weights[k + 3], e = weights[k + 4];
    for (let to = start, i = first + k; to < end; to++, i++)
      out[to] += a * data[i] + b * data[i + 1] + c * data[i + 2] + d * data[i + 3] + e * data[i + 4];
  }
  for (; k < weights.length; k++) {
    const weight = weights[k];
    for (let to = start, i = first + k; to < end; to++, i++) out[to] += weight * data[i];
  }
}

function convolve({ channels, height, width, data }, weight, bias) {
  const [filters, , side] = weight.shape, rows = height - side + 1, columns = width - side + 1;
  const out = new Float64Array(filters * rows * columns);
  for (let f = 0; f < filters; f++) {
    const base = f * rows * columns;
    out.fill(bias.data[f], base, base + rows * columns);
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < side; i++) {
        const at = ((f * channels + c) * side + i) * side, weights = weight.data.subarray(at, at + side);
        for (let row = 0; row < rows; row++)
          addWeighted(out, base + row * columns, columns, data, (c * height + row + i) * width, weights);
      }
  }
  return { channels: filters, height: rows, width: columns, data: out };
}

// The slope by a convolution's input, from that by its output.
function convolveBack(slope, weight, { channels, height, width }) {
  const [filters, , side] = weight.shape, { height: rows, width: columns } = slope;
  const out = new Float64Array(channels * height * width);
  for (let f = 0; f < filters; f++)
    for (let c = 0; c < channels; c++)
      for (let i = 0; i < side; i++)
        for (let j = 0; j < side; j++) {
          const w = weight.data[((f * channels + c) * side + i) * side + j];
          for (let row = 0; row < rows; row++) {
            let to = (c * height + row + i) * width + j, from = (f * rows + row) * columns;
            for (const end = from + columns; from < end; ) out[to++] += w * slope.data[from++];
          }
        }
  return { channels, height, width, data: out };
}

// The largest of each 2×2, where it is positive. `from`: where in the input it was, -1 where all are negative.
function poolAndRectify({ channels, height, width, data }) {
  const rows = Math.floor(height / 2), columns = Math.floor(width / 2);
  const out = new Float64Array(channels * rows * columns), from = new Int32Array(out.length);
  let to = 0;
  for (let c = 0; c < channels; c++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++, to++) {
        const first = (c * height + 2 * row) * width + 2 * column;
        let best = first;
        for (const other of [first + 1, first + width, first + width + 1]) if (data[other] > data[best]) best = other;
        out[to] = Math.max(data[best], 0);
        from[to] = data[best] > 0 ? best : -1;
      }
  return { channels, height: rows, width: columns, data: out, from };
}

function poolBack(slope, { from }, { channels, height, width }) {
  const out = new Float64Array(channels * height * width);
  for (let i = 0; i < from.length; i++) if (from[i] >= 0) out[from[i]] += slope[i];
  return { channels, height, width, data: out };
}

function linear(x, weight, bias) {
  const [outputs, inputs] = weight.shape, out = new Float64Array(outputs);
  for (let o = 0; o < outputs; o++) {
    let sum = bias.data[o];
    for (let i = 0; i < inputs; i++) sum += weight.data[o * inputs + i] * x[i];
    out[o] = sum;
  }
  return out;
}

function linearBack(slope, weight) {
  const [outputs, inputs] = weight.shape, out = new Float64Array(inputs);
  for (let o = 0; o < outputs; o++) for (let i = 0; i < inputs; i++) out[i] += weight.data[o * inputs + i] * slope[o];
  return out;
}

const rectify = (x) => x.map((value) => Math.max(value, 0));

function logSoftmax(x) {
  const highest = Math.max(...x);
  const total = Math.log(x.reduce((sum, value) => sum + Math.exp(value - highest), 0));
  return x.map((value) => value - highest - total);
}

// The network. An image is a Uint8Array of size × size grey levels, θ six numbers, output → input.

const layersOf = ({ tensors }, part) => (name) => [tensors[`${part}.${name}.weight`], tensors[`${part}.${name}.bias`]];

// The θ that the localization network chooses.
export function chooseTheta(network, image) {
  const { size, normalize } = network, layer = layersOf(network, "stn.localization");
  const input = { channels: 1, height: size, width: size, data: Float64Array.from(image, normalize) };
  const first = poolAndRectify(convolve(input, ...layer("localization.0")));
  const second = poolAndRectify(convolve(first, ...layer("localization.3")));
  const hidden = rectify(linear(second.data, ...layer("fc_loc.0")));
  return linear(hidden, ...layer("fc_loc.2"));
}

// Where each output pixel looks: [x, y, …] on the ruler -1 … 1, row by row.
export function placesOf(theta, side) {
  const places = new Float64Array(2 * side * side);
  for (let row = 0, to = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const x = pixelCenter(column, side, false), y = pixelCenter(row, side, false);
      places[to++] = theta[0] * x + theta[1] * y + theta[2];
      places[to++] = theta[3] * x + theta[4] * y + theta[5];
    }
  return places;
}

function seenAt(network, image, places) {
  const { size, normalize, outside } = network;
  const at = greyLevels(Float64Array.from(image, normalize), size, size, outside);
  const pixels = new Float64Array(places.length / 2);
  for (let i = 0; i < pixels.length; i++)
    pixels[i] = outside + bilinear(at, toPixels(places[2 * i], size, false), toPixels(places[2 * i + 1], size, false));
  return pixels;
}

function read(network, seen) {
  const layer = layersOf(network, "classifier"), side = network.outputSize;
  const input = { channels: 1, height: side, width: side, data: seen };
  const conv1 = convolve(input, ...layer("conv1")), pool1 = poolAndRectify(conv1);
  const conv2 = convolve(pool1, ...layer("conv2")), pool2 = poolAndRectify(conv2);
  const hidden = rectify(linear(pool2.data, ...layer("fc1")));
  return { input, conv1, pool1, conv2, pool2, hidden, logProbabilities: logSoftmax(linear(hidden, ...layer("fc2"))) };
}

// What the network says of an image: the pixels that the classifier sees, and ten log-probabilities. `theta`: the
// frame to look through; default: the one it chooses.
export function ask(network, image, theta = chooseTheta(network, image)) {
  const seen = seenAt(network, image, placesOf(theta, network.outputSize));
  return { theta, seen, logProbabilities: read(network, seen).logProbabilities };
}

// The classifier's log-probabilities for grey levels (0 … 255, outputSize × outputSize) that it is handed.
export function answer(network, levels) {
  return read(network, Float64Array.from(levels, network.normalize)).logProbabilities;
}

// The loss -log p(label), and its slopes: by θ's six numbers, and by each output pixel's place, [x, y, …] (equation 7
// of the paper). At a kink, where a place lies on a pixel's centre, it is the slope to the right and below. `seen`: the
// pixels that the classifier saw.
export function slopes(network, image, theta, label) {
  const { size, outputSize: side, normalize, outside } = network;
  const places = placesOf(theta, side), seen = seenAt(network, image, places);
  const bySeen = slopeBySeen(network, read(network, seen), label);
  const at = greyLevels(Float64Array.from(image, normalize), size, size, outside);
  const byPlace = new Float64Array(places.length), byTheta = new Float64Array(6);
  for (let i = 0; i < seen.length; i++) {
    const [dx, dy] = slopeByPlace(at, toPixels(places[2 * i], size, false), toPixels(places[2 * i + 1], size, false));
    const along = [(bySeen.data[i] * dx * size) / 2, (bySeen.data[i] * dy * size) / 2]; // pixels -> ruler
    byPlace.set(along, 2 * i);
    const from = [pixelCenter(i % side, side, false), pixelCenter(Math.floor(i / side), side, false), 1];
    for (let k = 0; k < 6; k++) byTheta[k] += along[k < 3 ? 0 : 1] * from[k % 3];
  }
  return { loss: -bySeen.logProbabilities[label], byTheta, byPlace, seen };
}

// How fast a bilinear colour changes with its place, in pixels.
function slopeByPlace(at, x, y) {
  const left = Math.floor(x), top = Math.floor(y), right = x - left, below = y - top;
  const [a, b] = [at(top, left), at(top, left + 1)], [c, d] = [at(top + 1, left), at(top + 1, left + 1)];
  return [(1 - below) * (b - a) + below * (d - c), (1 - right) * (c - a) + right * (d - b)];
}

function slopeBySeen(network, { input, conv1, pool1, conv2, pool2, hidden, logProbabilities }, label) {
  const layer = layersOf(network, "classifier");
  const byScores = logProbabilities.map((value, digit) => Math.exp(value) - (digit === label ? 1 : 0));
  const byHidden = linearBack(byScores, layer("fc2")[0]).map((value, i) => (hidden[i] > 0 ? value : 0));
  const byPool2 = linearBack(byHidden, layer("fc1")[0]);
  const byPool1 = convolveBack(poolBack(byPool2, pool2, conv2), layer("conv2")[0], pool1);
  const back = convolveBack(poolBack(byPool1.data, pool1, conv1), layer("conv1")[0], input);
  return { ...back, logProbabilities };
}
