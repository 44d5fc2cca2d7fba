/**
 * Numbers as C's printf writes them, for tools whose output must look like iproute2's.
 * Called by the formatters of this folder. ISO C 7.21.6.1.
 */

/** printf("%.{precision}g"): significant digits, no trailing zeros, exponent where C has one. */
export function formatG(value: number, precision = 6): string {
  if (value === 0 || !Number.isFinite(value)) return Number.isFinite(value) ? '0' : 'inf';
  const [mantissa = '', power = '0'] = value.toExponential(precision - 1).split('e');
  const exponent = Number(power);
  const trim = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (exponent < -4 || exponent >= precision) {
    const sign = exponent < 0 ? '-' : '+';
    return `${trim(mantissa)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  return trim(value.toFixed(Math.max(0, precision - 1 - exponent)));
}

/**
 * Bits per second with iproute2's units, `9.55G`; whole and without units if `numeric`, which is
 * what ss -n does.
 */
export function formatRate(bitsPerSecond: number, numeric = false): string {
  if (numeric) return bitsPerSecond.toFixed(0);
  const units: [number, string][] = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
  for (const [size, letter] of units) {
    if (bitsPerSecond >= size) return `${formatG(bitsPerSecond / size, 3)}${letter}`;
  }
  return formatG(bitsPerSecond);
}
