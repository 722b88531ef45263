import type { Contestant } from './contestants.js'
import type { Counts } from './counts.js'
import type { Machine } from './machine.js'
import type { LoopDelay } from './measure.js'
import type { Cell, Mode } from './plan.js'

/** One contestant under one load, once. */
export interface Slice {
  readonly requests: number
  readonly seconds: number
  /** Microseconds of the application's processor, for each request. */
  readonly cpu: number
  /** The same of the stub's. */
  readonly stubCpu?: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** What reached the engine, where it can tell. */
  readonly counts?: Counts
}

/** One contestant under one load, in all rounds. */
export interface Measured {
  readonly contestant: string
  readonly slices: readonly Slice[]
}

export interface MeasuredCell {
  readonly cell: Cell
  readonly measured: readonly Measured[]
}

/** What one kind of traffic asked of Amazon's own engine. */
export interface CountedCell {
  readonly cell: Cell
  readonly counted: ReadonlyArray<{ readonly contestant: string, readonly requests: number, readonly counts: Counts }>
}

export interface Soak {
  readonly contestant: string
  readonly seconds: number
  /** Requests a second that were wanted and answered. */
  readonly wanted: number
  readonly answered: number
  /** Bytes: resident, each second, and of the heap after a collection, before and after. */
  readonly rss: readonly number[]
  readonly heap: readonly [number, number]
  readonly loop: LoopDelay
}

export interface Stored {
  readonly sessions: number
  readonly measured: readonly Measured[]
}

export interface Processes {
  readonly contestant: string
  readonly processes: number
  readonly slices: readonly Slice[]
  /** Which share of the machine's cores the application, the stub and the load generator had. */
  readonly shares: { readonly application: number, readonly stub: number, readonly load: number }
}

/** The processor time of one kind of visit, in microseconds a request, for each round. The first kind is without the plugin. */
export interface Work { readonly visit: string, readonly cpu: readonly number[] }

export interface StartUp {
  readonly contestant: string
  /** Milliseconds since the process began, for each start. */
  readonly imported: readonly number[]
  readonly listening: readonly number[]
}

/** Bursts with pauses between them. */
export interface Paused {
  readonly contestant: string
  readonly requests: number
  readonly counts: Counts
}

export interface Results {
  readonly machine: Machine
  readonly mode: Mode
  readonly contestants: readonly Contestant[]
  /** What could not be measured, and why. */
  readonly missing: readonly string[]
  readonly ownWork: readonly [bare: Work, ...Work[]]
  readonly cells: readonly MeasuredCell[]
  readonly local: readonly MeasuredCell[]
  readonly counted: readonly CountedCell[]
  readonly soak: readonly Soak[]
  readonly stored: readonly Stored[]
  readonly processes: readonly Processes[]
  readonly startUp: readonly StartUp[]
  readonly paused: readonly Paused[]
}
