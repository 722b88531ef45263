/** What the rounds of one measurement say together. */
export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
}

/** The middle value; of an even number the mean of the two in the middle. NaN of nothing. */
export function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = (sorted.length - 1) / 2
  const [below = NaN, above = NaN] = [sorted[Math.floor(half)], sorted[Math.ceil(half)]]
  return (below + above) / 2
}

export function summarize (values: readonly number[]): Summary {
  return { median: median(values), low: Math.min(...values), high: Math.max(...values) }
}

/** Half the distance between the lowest and the highest round, as a share of the median. */
export function spread ({ median, low, high }: Summary): number {
  return (high - low) / 2 / median
}

/**
 * How one stands to another: the median of the ratios of each round, not the ratio of the medians. What slows a machine down
 * for some seconds slows both down, and falls out.
 */
export function ratio (values: readonly number[], base: readonly number[]): number {
  return median(values.flatMap((value, round) => base[round] === undefined ? [] : [value / base[round]]))
}

/** The value below which a share of the others lies. NaN of nothing. */
export function percentile (values: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

/**
 * Who is measured when: each once in every round. Every round begins with another one, and every second goes backwards, so
 * that nobody always comes first, or always after the same neighbour.
 */
export function interleaved<T> (contestants: readonly T[], rounds: number): T[][] {
  return Array.from({ length: rounds }, (_, round) => {
    const start = round % Math.max(1, contestants.length)
    const order = [...contestants.slice(start), ...contestants.slice(0, start)]
    return round % 2 === 0 ? order : order.reverse()
  })
}
