// What the scripts do with a page: bytes from Python, grey images on a canvas, one drawing per frame of the screen.

export const GREY = "rgb(200, 200, 200)", ORANGE = "rgb(255, 159, 28)"; // as in picture.py

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
