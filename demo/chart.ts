import type { Point } from './ledger.js'

/** A curve of the chart: read or write units, of this library or of the one beside it. */
export interface Curve {
  readonly id: string
  readonly label: string
  /** For the attribute `points` of a polyline. */
  readonly points: string
  /** Where it ends, and where its label stands, in the units of the drawing. */
  readonly x: number
  readonly y: number
  readonly labelY: number
  /** What it has come to, as it is written beside it. */
  readonly value: string
}

export interface Chart {
  readonly width: number
  readonly height: number
  /** Where the curves begin and end. */
  readonly left: number
  readonly right: number
  readonly curves: readonly Curve[]
  /** Heights with a line and a number. */
  readonly grid: ReadonlyArray<{ readonly y: number, readonly value: string }>
}

const WIDTH = 420
const HEIGHT = 200
const EDGE = { left: 34, right: 160, top: 10, bottom: 12 }
const LINE_HEIGHT = 17

const CURVES: ReadonlyArray<readonly [string, string, (point: Point) => number]> = [
  ['other-writes', 'write, others', ({ theirs }) => theirs.write],
  ['other-reads', 'read, others', ({ theirs }) => theirs.read],
  ['our-writes', 'write, ours', ({ ours }) => ours.write],
  ['our-reads', 'read, ours', ({ ours }) => ours.read]
]

/** Running sums as curves, drawn to fit. */
export function drawChart (points: readonly Point[]): Chart {
  const most = Math.max(4, ...CURVES.flatMap(([, , valueOf]) => points.map(valueOf)))
  const top = roundUp(most)
  const xOf = (index: number): number => round(EDGE.left + index / Math.max(1, points.length - 1) * (WIDTH - EDGE.left - EDGE.right))
  const yOf = (value: number): number => round(HEIGHT - EDGE.bottom - value / top * (HEIGHT - EDGE.top - EDGE.bottom))
  const curves = CURVES.map(([id, label, valueOf]) => {
    // Where it ends is where it is highest: sums only grow.
    const value = Math.max(0, ...points.map(valueOf))
    return {
      id,
      label,
      points: points.map((point, index) => `${xOf(index)},${yOf(valueOf(point))}`).join(' '),
      x: xOf(points.length - 1),
      y: yOf(value),
      labelY: yOf(value),
      value: short(value)
    }
  })
  const grid = [0, 1, 2, 3, 4].map(part => ({ y: yOf(top * part / 4), value: short(top * part / 4) }))
  return { width: WIDTH, height: HEIGHT, left: EDGE.left, right: WIDTH - EDGE.right, curves: spread(curves), grid }
}

/** Labels that would stand on each other move apart, downwards from the highest and up again from the edge. */
function spread (curves: readonly Curve[]): Curve[] {
  const places = curves.map(curve => ({ ...curve, labelY: curve.y }))
  const downwards = [...places].sort((one, other) => one.y - other.y)
  let above = -Infinity
  for (const place of downwards) above = place.labelY = Math.max(place.y, above + LINE_HEIGHT)
  let below = HEIGHT - 6 + LINE_HEIGHT
  for (const place of downwards.reverse()) below = place.labelY = Math.min(place.labelY, below - LINE_HEIGHT)
  return places
}

/** The next of 4, 8, 20, 40, 80, 200, 400 …: numbers whose quarters are short. */
function roundUp (value: number): number {
  return [4, 8, 20].find(step => value <= step) ?? 10 * roundUp(value / 10)
}

function round (value: number): number {
  return Math.round(value * 10) / 10
}

/** With as many digits as there is room for: 2.5, 340, 1.3k. */
function short (value: number): string {
  if (value >= 1000) return `${round(value / 1000)}k`
  return String(value >= 100 ? Math.round(value) : value)
}
