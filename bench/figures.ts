import type { Counts } from './counts.js'
import { totalOf } from './counts.js'
import { BASE } from './contestants.js'
import type { Measured, Slice, Work } from './results.js'
import { median, ratio, spread, summarize } from './statistics.js'

/** Three digits that say something, and no more. */
export function figure (value: number): string {
  if (!Number.isFinite(value)) return '–'
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  const rounded = Number(value.toPrecision(3))
  return rounded.toLocaleString('en-US', { maximumFractionDigits: digits })
}

export function percent (share: number): string {
  return figure(Math.round(share * 100)) + ' %'
}

export function megabytes (bytes: number): string {
  return figure(bytes / 1e6)
}

/** A table in Markdown: the first column is text, the others are figures. */
export function table (headings: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const alignment = headings.map((_, index) => index === 0 ? '---' : '---:')
  return [line(headings), line(alignment), ...rows.map(line)].join('\n')
}

export function find (measured: readonly Measured[], contestant: string): Measured | undefined {
  return measured.find(one => one.contestant === contestant)
}

export const cpuOf = ({ cpu }: Slice): number => cpu
export const rateOf = ({ requests, seconds }: Slice): number => requests / seconds

/** How two contestants stand to each other, round by round. NaN where one of them was not measured. */
export function compare (measured: readonly Measured[], one: string, other: string, of: (slice: Slice) => number): number {
  return ratio(find(measured, one)?.slices.map(of) ?? [], find(measured, other)?.slices.map(of) ?? [])
}

/** Microseconds that a kind of visit takes over the first kind, which is without the plugin. */
export function overBare (works: readonly [Work, ...Work[]], { cpu }: Work): number {
  return median(cpu) - median(works[0].cpu)
}

/** Calls and capacity of a thousand requests, where the engine told them. */
export function perThousand (requests: number, counts: Counts): [calls: number, read: number, write: number] {
  const { calls, read, write } = totalOf(counts)
  return [calls, read, write].map(value => value / requests * 1000) as [number, number, number]
}

export const LOAD_HEADINGS = ['application', 'CPU µs', '±', 'of by hand', 'requests/s', 'times by hand', 'p50 ms', 'p99 ms'] as const
export const CALL_HEADINGS = ['calls', 'RCU', 'WCU'] as const

/** What one contestant came to under a load, beside the one whom all are compared with. */
export function loadCells (measured: readonly Measured[], { contestant, slices }: Measured): string[] {
  const cpu = summarize(slices.map(cpuOf))
  return [
    figure(cpu.median), percent(spread(cpu)), figure(compare(measured, contestant, BASE, cpuOf)),
    figure(median(slices.map(rateOf))), figure(compare(measured, contestant, BASE, rateOf)),
    figure(median(slices.map(({ p50 }) => p50))), figure(median(slices.map(({ p99 }) => p99)))
  ]
}

/** Calls and capacity of a thousand requests, over all rounds. */
export function callCells (slices: readonly Slice[]): string[] {
  const sums = slices.map(({ requests, counts = {} }) => perThousand(requests, counts))
  return [0, 1, 2].map(column => figure(median(sums.map(sum => sum[column] as number))))
}
