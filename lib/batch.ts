import { setTimeout as wait } from 'node:timers/promises'
import type { BatchGetItemCommandOutput } from '@aws-sdk/client-dynamodb'
import type { Deadline } from './deadline.js'
import { fromKey, type Item, type Layout } from './item.js'

/** Keys that one call may name (BatchGetItem). */
const MOST_KEYS = 100

/** The SDK's pauses between attempts: a random part of this many milliseconds, twice as many with each attempt, and at most so many. */
const PAUSE = 100
const MOST_PAUSE = 20_000

/** BatchGetItem is not permitted, or this engine has none. */
const NO_BATCHES = ['AccessDeniedException', 'UnknownOperationException']

/** In place of an item: its key was left over alone, and is to be read by itself. */
export const LEFT_OVER = Symbol('left over')

type Found = Item | undefined | typeof LEFT_OVER

/** What one call brought. A key in neither has no item. */
export interface BatchAnswer {
  readonly items: ReadonlyMap<string, Item>
  readonly unprocessed: ReadonlySet<string>
}

export interface BatchTools {
  /** Reads several keys by one call. */
  readonly ask: (keys: readonly string[], consistent: boolean, deadline: Deadline) => Promise<BatchAnswer>
  readonly deadline: () => Deadline
  /** Runs something when every request that is here already has begun. */
  readonly endOfTurn?: ((run: () => void) => void) | undefined
  readonly random?: (() => number) | undefined
  readonly sleep?: ((ms: number, signal: AbortSignal) => Promise<void>) | undefined
}

/** Where the answer for a key arrives. */
interface Place {
  readonly found: Promise<Found>
  readonly resolve: (found: Found) => void
  readonly reject: (error: unknown) => void
}

/** Keys that are read together. Each has its answer as soon as one came. */
export class Batch {
  /** Resolves when no key is added any more. */
  readonly full: Promise<void>
  readonly #places = new Map<string, Place>()
  readonly #tools: BatchTools
  readonly #consistent: boolean
  #deadline: Deadline | undefined

  constructor (tools: BatchTools, consistent: boolean, full: Promise<void>) {
    this.#tools = tools
    this.#consistent = consistent
    this.full = full.then(() => { if (this.size > 1) this.#read() })
  }

  /** The time limit of all its reads. It begins when they are sent: a turn may be long where the process is busy. */
  get deadline (): Deadline {
    this.#deadline ??= this.#tools.deadline()
    return this.#deadline
  }

  get size (): number {
    return this.#places.size
  }

  has (key: string): boolean {
    return this.#places.has(key)
  }

  add (key: string): void {
    this.#places.set(key, makePlace())
  }

  /** The item of a key that was added, undefined where there is none. */
  find (key: string): Promise<Found> {
    return (this.#places.get(key) as Place).found
  }

  #read (): void {
    const left = new Map(this.#places)
    this.#readAll(left).catch((error: unknown) => { for (const { reject } of left.values()) reject(error) })
  }

  async #readAll (left: Map<string, Place>): Promise<void> {
    let inVain = 0
    while (left.size > 1) {
      const before = left.size
      const { items, unprocessed } = await this.#tools.ask([...left.keys()], this.#consistent, this.deadline)
      for (const [key, { resolve }] of left) {
        if (unprocessed.has(key)) continue
        resolve(items.get(key))
        left.delete(key)
      }
      inVain = left.size < before ? 0 : inVain + 1
      if (left.size > 0) await this.#pause(inVain)
    }
    for (const { resolve } of left.values()) resolve(LEFT_OVER)
  }

  /** No longer than the time limit. */
  async #pause (inVain: number): Promise<void> {
    const { random = Math.random, sleep = sleepFor } = this.#tools
    const pause = random() * Math.min(PAUSE * 2 ** inVain, MOST_PAUSE)
    await this.deadline.run(async stop => { await sleep(pause, stop.signal) })
  }
}

async function sleepFor (ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal })
}

/** Collects the keys that are asked for in one turn of the event loop. */
export class Batches {
  readonly #tools: BatchTools
  /** By whether the reads are strongly consistent, because a call's are all so or none is. */
  readonly #open = new Map<boolean, Batch>()

  constructor (tools: BatchTools) {
    this.#tools = tools
  }

  /** The batch that a key travels in, when its turn has ended; undefined where the key travels alone. */
  async join (key: string, consistent: boolean): Promise<Batch | undefined> {
    const present = this.#open.get(consistent)
    // A call may name a key only once.
    if (present?.has(key) === true) return undefined
    const batch = present ?? this.#begin(consistent)
    batch.add(key)
    if (batch.size === MOST_KEYS) this.#open.delete(consistent)
    await batch.full
    return batch.size > 1 ? batch : undefined
  }

  #begin (consistent: boolean): Batch {
    // After the sockets that are ready were read, and before anything is waited for.
    const { endOfTurn = setImmediate } = this.#tools
    const full = new Promise<void>(resolve => { endOfTurn(resolve) })
    const batch = new Batch(this.#tools, consistent, full.then(() => { if (this.#open.get(consistent) === batch) this.#open.delete(consistent) }))
    this.#open.set(consistent, batch)
    return batch
  }
}

/** What an answer says of the keys that were asked for. Of one that cannot be right, nothing is believed. */
export function readAnswer (output: BatchGetItemCommandOutput, keys: readonly string[], layout: Layout): BatchAnswer {
  const asked = new Set(keys)
  const keyOf = (item: Item): string => {
    const key = fromKey(item, layout)
    if (key === undefined || !asked.has(key)) throw new Error('An answer with a key that was not asked for.')
    return key
  }
  // Whatever the table is called there, by its name or its ARN: it is the only one.
  const lists = Object.values(output.Responses ?? {})
  const items = new Map(lists.flat().map(item => [keyOf(item), item]))
  const unprocessed = new Set(Object.values(output.UnprocessedKeys ?? {}).flatMap(({ Keys = [] }) => Keys.map(keyOf)))
  if (lists.length === 0 && unprocessed.size < asked.size) throw new Error('An answer that tells nothing of some keys.')
  return { items, unprocessed }
}

function makePlace (): Place {
  let settle!: Omit<Place, 'found'>
  const found = new Promise<Found>((resolve, reject) => { settle = { resolve, reject } })
  // It may fail before anybody looks.
  found.catch(nothing)
  return { found, resolve: settle.resolve, reject: settle.reject }
}

function nothing (): void {}

/** The error of a service that reads nothing together, as an answer. */
export function unlessWithoutBatches (error: Error): Error {
  const { cause } = error
  if (cause instanceof Error && NO_BATCHES.includes(cause.name)) return cause
  throw error
}
