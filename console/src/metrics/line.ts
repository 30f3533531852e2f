/** The geometry of a line chart. */

/**
 * The smallest round number that no value is above: 1, 2 or 5 times a power of ten; of sizes in bytes
 * that many of their own unit, such as 200 KiB.
 */
export function ceilingOf(
  values: ReadonlyArray<number | undefined>,
  of: "numbers" | "bytes" = "numbers",
): number {
  let most = 0;
  for (const value of values) if (value !== undefined && value > most) most = value;
  if (most <= 0) return 1;
  const unit = of === "numbers" ? 1 : 1024 ** Math.max(0, Math.floor(Math.log2(most) / 10));
  const power = 10 ** Math.floor(Math.log10(most / unit)) * unit;
  // A value that a rounding error lifts over its own step stays on it.
  const step = [1, 2, 5].find((step) => step * power >= most * (1 - 1e-9));
  return (step ?? 10) * power;
}

/** Where a line is drawn. The newest value is at the right edge. */
export interface Frame {
  /** Values that the whole width has room for, at least 2. */
  readonly room: number;
  readonly ceiling: number;
  readonly width: number;
  readonly height: number;
}

/** A line as the path of an SVG. What has no value is a gap; a value between two gaps is a short stroke. */
export function linePath(values: ReadonlyArray<number | undefined>, frame: Frame): string {
  const shown = values.slice(-frame.room);
  const step = frame.width / (frame.room - 1);
  const left = frame.width - (shown.length - 1) * step;
  let path = "";
  let isDrawing = false;
  shown.forEach((value, index) => {
    if (value === undefined) {
      isDrawing = false;
      return;
    }
    const x = (left + index * step).toFixed(1);
    const y = (
      frame.height -
      (Math.min(value, frame.ceiling) / frame.ceiling) * frame.height
    ).toFixed(1);
    path += isDrawing ? `L${x} ${y}` : `M${x} ${y}h.1`;
    isDrawing = true;
  });
  return path;
}
