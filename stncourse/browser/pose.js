// θ's six numbers, row by row, and the turn, zoom, shear and shift that make them: as playground/parameters.py.
// Pure functions: no page is needed.

export const IDENTITY = [1, 0, 0, 0, 1, 0];
export const NAMES = ["rotation", "scale_x", "scale_y", "shear", "shift_x", "shift_y"];

// θ = [ R(rotation) · [[1, shear], [0, 1]] · diag(scale) | shift ], as stncourse.affine_theta.
export function compose({ rotation, scale_x, scale_y, shear, shift_x, shift_y }) {
  const angle = (rotation * Math.PI) / 180, c = Math.cos(angle), s = Math.sin(angle);
  return [
    c * scale_x, (c * shear - s) * scale_y, shift_x,
    s * scale_x, (s * shear + c) * scale_y, shift_y,
  ];
}

// The θ that goes the other way, or null where there is none.
export function invert([a, b, tx, c, d, ty]) {
  const determinant = a * d - b * c;
  if (Math.abs(determinant) < 1e-9 + 2e-7 * (Math.abs(a * d) + Math.abs(b * c))) return null;
  const [e, f, g, h] = [d, -b, -c, a].map((value) => value / determinant);
  return [e, f, -(e * tx + f * ty), g, h, -(g * tx + h * ty)];
}

// The parameters of a θ, as decompose() of parameters.py: the θ that mirrors gets the smaller turn. Null where scale x
// is 0 and no rotation is defined.
export function decompose([a, b, shift_x, c, d, shift_y]) {
  let scale_x = Math.hypot(a, c);
  if (scale_x < 1e-9) return null;
  let rotation = (Math.atan2(c, a) * 180) / Math.PI, scale_y = (a * d - b * c) / scale_x;
  const shear = Math.abs(scale_y) > 1e-9 ? (a * b + c * d) / scale_x / scale_y : 0;
  if (scale_y < 0 && Math.abs(rotation) > 90) {
    rotation -= 180 * Math.sign(rotation);
    [scale_x, scale_y] = [-scale_x, -scale_y];
  }
  return { rotation, scale_x, scale_y, shear, shift_x, shift_y };
}

// What θ (output → input) does to what is seen, as a sentence.
export function words(theta) {
  const done = changes(theta);
  return done
    ? `The digit comes out ${done}.`
    : "θ is singular: every output pixel looks at one line or point, so the digit is lost.";
}

// The same in a few words: "moved left by 0.40", "unchanged"; null where θ is singular.
export function changes(theta) {
  const inverse = invert(theta), parameters = inverse && decompose(inverse);
  if (!parameters) return null;
  const { rotation: turn, scale_x: scaleX, scale_y: scaleY, shear, shift_x: shiftX, shift_y: shiftY } = parameters;
  const parts = []; // in the order in which they happen
  const mirrored = [scaleX < 0 && "left-right", scaleY < 0 && "top-bottom"].filter(Boolean);
  if (mirrored.length) parts.push(`mirrored ${mirrored.join(" and ")}`);
  const [wide, high] = [Math.abs(scaleX), Math.abs(scaleY)];
  if (Math.max(Math.abs(wide - 1), Math.abs(high - 1)) >= 0.005)
    parts.push(
      Math.abs(wide - high) < 0.005
        ? `${wide.toFixed(2)} × as large`
        : `${wide.toFixed(2)} × as wide, ${high.toFixed(2)} × as high`,
    );
  if (Math.abs(shear) >= 0.005) parts.push(`leaning by ${shear > 0 ? "+" : "−"}${Math.abs(shear).toFixed(2)}`);
  if (Math.abs(turn) >= 0.5)
    parts.push(`turned ${Math.abs(turn).toFixed(0)}° ${turn > 0 ? "clockwise" : "counter-clockwise"}`);
  for (const [shift, less, more] of [[shiftX, "left", "right"], [shiftY, "up", "down"]])
    if (Math.abs(shift) >= 0.005) parts.push(`moved ${shift > 0 ? more : less} by ${Math.abs(shift).toFixed(2)}`);
  return parts.join(", ") || "unchanged";
}
