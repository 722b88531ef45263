import type { CallOutcome } from '../types/events.js'
import type { Deadline } from './deadline.js'
import { errors, safeCause } from './errors.js'
import { isTraced, traced, type CallReport, type Operation } from './events.js'
import type { Item } from './item.js'
import { tableName } from './names.js'
import { sizeOfItem } from './size.js'
import type { Stop } from './stop.js'

interface Capacity { readonly CapacityUnits?: number | undefined }

/** What every answer has. That of a batch names each table, which is one. */
export interface Answer { readonly ConsumedCapacity?: Capacity | Capacity[] | undefined }

/** What is known of a call before it is made. */
type Call = Pick<CallReport, 'action' | 'consistent' | 'batchSize'>

/** Sends a call, which is told to stop. */
type Send<T> = (stop: Stop) => Promise<T>

/** The calls of a repository: each within its time limit, proved, told of, and known while it is under way. */
export class Calls {
  /**
   * Whether an answer without consumed capacity is a failure. An empty answer looks like "no such item", and a visitor
   * would be logged out by a broken proxy; the capacity that every call asks for proves a genuine one.
   */
  expectsCapacity = true
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #table: string

  /** `table`: name or ARN. */
  constructor (table: string) {
    this.#table = tableName(table)
  }

  /** Makes a call and tells of it; undefined where its condition failed, which is an answer and no error. */
  send<T extends Answer> (
    operation: Operation, call: Call, deadline: Deadline, send: Send<T>, item?: (answer: T) => Item | undefined
  ): Promise<T | undefined> {
    // Most calls are told of to nobody.
    if (!isTraced(operation)) return this.prove(deadline, send).catch(unlessRefused)
    const report = this.report(call)
    return traced(operation, report, async () => {
      const answer = await this.prove(deadline, send).catch(unlessRefused)
      const found = answer === undefined ? undefined : item?.(answer)
      report.outcome = outcomeOf(call, answer, found)
      measure(report, capacityOf(answer)?.CapacityUnits, found)
      return answer
    })
  }

  /** What listeners are told of a call. */
  report (call: Call): CallReport {
    return { table: this.#table, ...call }
  }

  /** Makes a call within the time limit of its operation; an answer that proves nothing is a failure. */
  async prove<T extends Answer> (deadline: Deadline, send: Send<T>): Promise<T> {
    const answer = await this.note(deadline.run(send))
    // A client that was handed in may resolve to anything.
    const proof = capacityOf(answer as Answer | undefined)
    if (answer === undefined || (this.expectsCapacity && proof === undefined)) throw new Error('An answer without consumed capacity.')
    return answer
  }

  /** Counts something as under way until it has ended. */
  async note<T> (call: Promise<T>): Promise<T> {
    this.#underWay.add(call)
    try {
      return await call
    } finally {
      this.#underWay.delete(call)
    }
  }

  /** Resolves when no call is under way, or at the deadline, where others are begun again and again. */
  async idle (deadline: Deadline): Promise<void> {
    await deadline.run(async () => {
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    }).catch(() => {})
  }
}

/** The outcome is not known. */
export function unavailable (cause: unknown): never {
  throw new errors.Unavailable({ cause: safeCause(cause) })
}

export function measure (report: CallReport, capacity: number | undefined, item: Item | undefined): void {
  if (capacity !== undefined) report.capacity = capacity
  if (item !== undefined) report.itemBytes = sizeOfItem(item)
}

function outcomeOf ({ action }: Call, answer: Answer | undefined, item: Item | undefined): CallOutcome {
  if (answer === undefined) return 'refused'
  if (action !== 'GetItem') return 'done'
  return item === undefined ? 'missing' : 'found'
}

function unlessRefused (cause: unknown): undefined {
  if (cause instanceof Error && cause.name === 'ConditionalCheckFailedException') return undefined
  unavailable(cause)
}

function capacityOf (answer: Answer | undefined): Capacity | undefined {
  const capacity = answer?.ConsumedCapacity
  return Array.isArray(capacity) ? capacity[0] : capacity
}
