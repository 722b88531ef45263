import type { Size } from './applications/serve.js'
import type { Contestant } from './contestants.js'
import type { Traffic } from './load.js'

export type Mode = 'full' | 'quick'

/** One load that everybody is put under. */
export interface Cell {
  readonly title: string
  readonly traffic: Traffic
  readonly size: Size
  readonly connections: number
  /** Milliseconds that the service takes. */
  readonly delay: number
  readonly who: ReadonlyArray<Contestant['kind']>
}

/** How often, and how many requests each time. */
export interface Rounds { readonly rounds: number, readonly requests: number }

/** Everything that is measured, and how long. */
export interface Plan {
  readonly mode: Mode
  readonly rounds: number
  /** Seconds of one contestant in one round, of its warming up before the first, and of its first load of all. */
  readonly slice: number
  readonly warmUp: number
  readonly preheat: number
  readonly ownWork: Rounds
  readonly cells: readonly Cell[]
  readonly local: readonly Cell[]
  /** Requests of each contestant, for counting calls. */
  readonly countedRequests: number
  readonly soak: { readonly seconds: number, readonly who: readonly string[] }
  readonly stored: readonly number[]
  readonly processes: { readonly numbers: readonly number[], readonly who: readonly string[] }
  readonly starts: number
  readonly paused: { readonly browsers: number, readonly bursts: number, readonly requests: number, readonly seconds: number }
}

/** Milliseconds between two looks at the event loop. They are part of every delay that is told. */
export const LOOP_RESOLUTION = 5

const USUAL: Size = { bytes: 2048, keys: 10 }
const EVERYBODY = ['floor', 'hand', 'ours', 'peer', 'tuned peer'] as const
const SIGNED_IN = ['hand', 'ours', 'peer', 'tuned peer'] as const
const DEFAULTS = ['hand', 'ours', 'peer'] as const

const CONNECTIONS = 50

function cell (title: string, traffic: Traffic, parts: Partial<Cell> = {}): Cell {
  return { title, traffic, size: USUAL, connections: CONNECTIONS, delay: 0, who: DEFAULTS, ...parts }
}

/** The cell that the others are derived from: the chart shows it, and the soak takes its rates. */
export const READ = cell('A signed-in read', 'read', { who: EVERYBODY })

/** Two hundred requests at once, and a service that takes its time: where batching shows. */
export const WAITING = cell('A signed-in read, 200 connections, a service that takes 5 ms', 'read', { connections: 200, delay: 5 })

/** A large session of many keys, of which one is used or changed. */
export const LARGE = sized(65_536, 50)
export const LARGE_CHANGE = cell('A session of 64 KB in 50 keys, one of them changed', 'change', { size: LARGE.size, connections: 16 })

/** Twenty reads of one browser at once, in four browsers. A service that answers at once would leave nothing to share. */
export const BURST = cell('A burst of 20 parallel reads of one browser', 'burst', { connections: 4, delay: 5, who: SIGNED_IN })

const TRAFFIC: readonly Cell[] = [
  cell('An anonymous request', 'anonymous', { who: EVERYBODY }),
  READ,
  cell('Nine reads and a change', 'mixed', { connections: 20, who: SIGNED_IN }),
  cell('A log-in and a log-out', 'log-in', { connections: 20, who: SIGNED_IN }),
  BURST
]

function sized (bytes: number, keys: number): Cell {
  const name = bytes < 1024 ? '0.5' : String(bytes / 1024)
  return cell(`A session of ${name} KB in ${keys} ${keys === 1 ? 'key' : 'keys'}, one of them read`, 'read', { size: { bytes, keys }, connections: 16 })
}

const SIZES: readonly Cell[] = [512, 2048, 8192, 65_536, 358_400].flatMap(bytes => [sized(bytes, 1), sized(bytes, 50)])

const FULL: Plan = {
  mode: 'full',
  rounds: 5,
  slice: 1,
  warmUp: 1,
  preheat: 4,
  ownWork: { rounds: 25, requests: 4000 },
  cells: [...TRAFFIC, WAITING, ...SIZES, LARGE_CHANGE],
  local: TRAFFIC.map(cell => ({ ...cell, delay: 0, who: DEFAULTS, connections: Math.min(cell.connections, 16) })),
  countedRequests: 400,
  soak: { seconds: 60, who: ['by-hand', 'ours', 'ours-batched', 'fastify-connect', 'fastify-store'] },
  stored: [1000, 10_000, 100_000, 1_000_000],
  processes: { numbers: [1, 2, 3, 4], who: ['by-hand', 'ours', 'ours-batched'] },
  starts: 7,
  paused: { browsers: 20, bursts: 5, requests: 6, seconds: 2 }
}

/** The same questions with less proof: fewer rounds, shorter ones, and of the sizes and the peers those that matter most. */
const QUICK: Plan = {
  mode: 'quick',
  rounds: 2,
  slice: 0.25,
  warmUp: 0.25,
  preheat: 1,
  ownWork: { rounds: 5, requests: 2000 },
  cells: [...TRAFFIC.map(narrow), { ...WAITING, who: ['hand', 'ours'] }, LARGE, { ...LARGE_CHANGE, who: ['hand', 'ours'] }],
  local: [{ ...READ, who: ['hand', 'ours'], connections: 16 }],
  countedRequests: 20,
  soak: { seconds: 5, who: ['ours-batched'] },
  stored: [1000, 100_000],
  processes: { numbers: [1, 2], who: ['ours'] },
  starts: 1,
  paused: { browsers: 10, bursts: 2, requests: 6, seconds: 2 }
}

function narrow (cell: Cell): Cell {
  return { ...cell, who: cell.who.filter(kind => kind !== 'tuned peer') }
}

export function planOf (mode: Mode): Plan {
  return mode === 'full' ? FULL : QUICK
}
