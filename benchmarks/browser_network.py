"""The shipped network in a browser: milliseconds of an answer, and of an answer with the slopes that pull θ.

python benchmarks/browser_network.py        (needs Chromium)

Each of 1,000 digits distorted by "RTS" is asked once, after a warm-up of 200, in which the browser compiles. The page's
own clock counts, to 0.1 ms. On a busy machine the median is mostly waiting; look at the fastest tenth.
"""

import base64
import os
import statistics
import sys
from pathlib import Path

from side_by_side import line

from stncourse import load_pretrained
from stncourse.browser.scripts import joined
from stncourse.playground.awake import for_browser
from stncourse.playground.opponent import default_digits
from stncourse.training.history import describe_hardware

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "browser"))
import lab

COUNT, WARM_UP = 1000, 200
MEASURE = """([weights, scale, images, labels, warmUp]) => {
    const from = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const network = script.networkOf(from(weights), scale), all = from(images), size = scale.size ** 2;
    const image = (i) => all.subarray(i * size, (i + 1) * size);
    const thetas = labels.map((_, i) => script.chooseTheta(network, image(i)));
    const milliseconds = (question) => {
        for (let i = 0; i < warmUp; i++) question(i);
        return labels.map((_, i) => {
            const begin = performance.now();
            question(i);
            return performance.now() - begin;
        });
    };
    return {
        "θ and answer": milliseconds((i) => script.ask(network, image(i))),
        "answer, θ given": milliseconds((i) => script.ask(network, image(i), thetas[i])),
        "slopes, θ given": milliseconds((i) => script.slopes(network, image(i), thetas[i], labels[i])),
    };
}"""


def main():
    model = load_pretrained()
    digits = default_digits(model).subset(slice(COUNT))
    weights, scale = for_browser(model, digits)
    encoded_weights, encoded_images = (
        base64.b64encode(part).decode() for part in (weights, digits.images.numpy().tobytes())
    )
    with lab.chromium() as context:
        page = context.new_page()
        lab.load_script(page, joined("browser/network.js"))
        results = page.evaluate(MEASURE, [encoded_weights, scale, encoded_images, digits.labels.tolist(), WARM_UP])
        browser = context.browser.version
    print(f"{describe_hardware('cpu')}, Chromium {browser}; {len(digits)} digits; load {os.getloadavg()[0]:.1f}")
    widths = 16, 9, 14, 9
    print(line(widths, "ms", "median", "fastest tenth", "p95"))
    for name, times in results.items():
        numbers = statistics.median(times), statistics.quantiles(times, n=10)[0], statistics.quantiles(times, n=20)[-1]
        print(line(widths, name, *(f"{number:.1f}" for number in numbers)))


if __name__ == "__main__":
    main()
