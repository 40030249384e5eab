// Numbers as they are printed: with a real minus, and no minus before 0. Pure functions: no page is needed.

export function printed(value, decimals = 2) {
  return (Number(value.toFixed(decimals)) + 0).toFixed(decimals).replace("-", "−");
}

export function signed(value, decimals = 2) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(decimals);
}
