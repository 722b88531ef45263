import { errors } from '../lib/errors.js'
import type { Item } from '../lib/item.js'
import type { Flags } from './arguments.js'
import type { Bookmark } from './bookmark.js'
import type { Context } from './command.js'
import { FAILED, FINE } from './fault.js'
import { Progress, type Stage } from './progress.js'
import { Rate } from './rate.js'
import type { Remote } from './remote.js'

/** Items at once. */
const WORKERS = 8
const RATE = 25

/** Of every command that goes through a whole table. */
export const SWEEP_FLAGS: Flags = {
  rate: { type: 'string', value: 'units', help: 'Most capacity units a second, reads and writes together.', otherwise: String(RATE) },
  state: { type: 'string', value: 'path', help: 'File that keeps where the run is.' }
}

/** A page that is done. */
export interface Turn {
  /** From where the next one begins; undefined after the last. */
  readonly next: Item | undefined
  /** What is kept to go on after, where something is; all before it is done. */
  readonly place: Item | undefined
}

/** What a run does. */
export interface Work {
  readonly isDry: boolean
  /** Does a page of the table. */
  readonly page: (from: Item | undefined) => Promise<Turn>
  readonly stage: () => Pick<Stage, 'done' | 'text'>
}

/** One run through a table, page by page: at a limited rate, with progress, and kept where it is, so that it can go on. */
export class Sweep {
  /** Capacity units until now. */
  units = 0
  readonly #context: Context
  readonly #remote: Remote
  readonly #bookmark: Bookmark
  readonly #rate: Rate
  readonly #progress: Progress
  readonly #stop: AbortSignal
  /** Whether something of the page was left when the run was told to stop. */
  #isWaiting = false

  constructor (context: Context, remote: Remote, bookmark: Bookmark) {
    const { given, io, output } = context
    this.#context = context
    this.#remote = remote
    this.#bookmark = bookmark
    this.#rate = new Rate(given.number('rate', { least: 1, most: 1_000_000 }) ?? RATE, io.now, io.sleep)
    this.#progress = new Progress(output.err, io.now)
    this.#stop = io.stop()
  }

  /** Whether it came to the end. */
  async run ({ isDry, page, stage }: Work): Promise<boolean> {
    let from = this.#bookmark.read()
    let isDone = false
    const total = from === undefined ? await this.#total() : undefined
    try {
      while (!isDone) {
        const { next, place } = await page(from)
        this.#progress.tell({ ...stage(), total })
        // What was read and is yet to be done is read again.
        if (this.#isWaiting) break
        if (next !== undefined && place !== undefined && !isDry) this.#bookmark.write(place)
        from = next
        isDone = next === undefined
        if (this.#stop.aborted) break
      }
    } finally {
      this.#progress.end()
    }
    if (isDone && !isDry) this.#bookmark.remove()
    return isDone
  }

  /** Some at a time. After a failure, or when it is told to stop, nothing more is begun, and what was begun is waited for. */
  async each<T> (items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
    const waiting = [...items]
    const next = (): T | undefined => this.#stop.aborted ? undefined : waiting.shift()
    const work = async (): Promise<void> => {
      for (let item = next(); item !== undefined; item = next()) await act(item)
    }
    const ends = await Promise.allSettled(Array.from({ length: WORKERS }, async () => await work().catch((error: unknown) => {
      waiting.length = 0
      throw error
    })))
    this.#isWaiting = waiting.length > 0
    const failed = ends.find(({ status }) => status === 'rejected')
    if (failed?.status === 'rejected') throw failed.reason
  }

  /** Waits for as long as what the calls took since the last time pays for. */
  async spend (): Promise<void> {
    const units = this.#remote.takeUnits()
    this.units += units
    await this.#rate.spend(units)
  }

  /** The exit code, and how to go on where that is to be said. */
  end (isDone: boolean): number {
    if (isDone) return FINE
    const { given, output } = this.#context
    output.fail(given.text('state') === undefined ? 'Stopped before the end. Run it again; with --state, it would go on from here.' : 'Stopped before the end. Run it again with the same --state to go on.')
    return FAILED
  }

  /** About how many items there are: DynamoDB counts them every six hours. Whoever may not ask has no bar. */
  async #total (): Promise<number | undefined> {
    try {
      const table = await this.#remote.table()
      return table?.ItemCount
    } catch (error) {
      if (error instanceof errors.PermissionMissing) return undefined
      throw error
    }
  }
}
