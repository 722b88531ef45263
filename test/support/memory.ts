import { errors } from '../../lib/errors.js'
import { Keeper } from '../../lib/keeper.js'
import { resolveOptions } from '../../lib/options.js'
import type { Log } from '../../lib/report.js'
import { memoryRepository } from '../../testing/index.js'
import type { DynamoSessionOptions } from '../../types/options.js'
import type { Repository, Revoked } from '../../types/repository.js'
import { noteError, notePrinted } from './silence.js'

/** What stands in the way of one call: its own answer, or a failure before or after the call took effect. */
export type Fault = 'fail before' | 'fail after' | (() => unknown)

type Method = 'load' | 'create' | 'save' | 'touch' | 'replace' | 'destroy' | 'revoke'

/** A repository in memory that notes its calls and meets faults, each once, in the order in which they were set. */
export class FaultyRepository implements Repository {
  readonly calls: string[] = []
  readonly #inner = memoryRepository()
  /** Faults of lists are met on the wire. */
  readonly users = this.#inner.users
  readonly #faults: Array<{ method: Method, fault: Fault }> = []

  /** What the next call of this method meets. */
  meet (method: Method, fault: Fault): this {
    this.#faults.push({ method, fault })
    return this
  }

  take (): string[] { return this.calls.splice(0) }

  load: Repository['load'] = async (...args) => await this.#call('load', async () => await this.#inner.load(...args))
  create: Repository['create'] = async (...args) => await this.#call('create', async () => await this.#inner.create(...args))
  save: Repository['save'] = async (...args) => await this.#call('save', async () => await this.#inner.save(...args))
  touch: Repository['touch'] = async (...args) => await this.#call('touch', async () => await this.#inner.touch(...args))
  replace: Repository['replace'] = async (...args) => await this.#call('replace', async () => await this.#inner.replace(...args))
  revoke = async (key: string, now: number, user?: string): Promise<Revoked> =>
    await this.#call('revoke', async () => await this.#inner.revoke?.(key, now, user) ?? {})

  destroy: Repository['destroy'] = async (...args) => await this.#call('destroy', async () => await this.#inner.destroy(...args))

  async #call<T> (method: Method, run: () => Promise<T>): Promise<T> {
    this.calls.push(method)
    const index = this.#faults.findIndex(fault => fault.method === method)
    const [met] = index === -1 ? [] : this.#faults.splice(index, 1)
    if (met === undefined) return await run()
    if (met.fault === 'fail before') throw new errors.Unavailable({ cause: new Error('cut off before') })
    if (met.fault === 'fail after') {
      await run()
      throw new errors.Unavailable({ cause: new Error('cut off after') })
    }
    return await met.fault() as T
  }
}

/** A log that keeps its messages. */
export class Remarks implements Log {
  readonly messages: string[] = []
  readonly details: Array<Record<string, unknown>> = []
  warn (details: Record<string, unknown>, message: string): void {
    notePrinted('log', message)
    noteError('log', details)
    this.messages.push(message)
    this.details.push(details)
  }
}

export const START = Date.UTC(2026, 0, 2, 3, 4, 5)

/** A keeper on a faulty repository, with its clock. */
export function setKeeper (options: Partial<DynamoSessionOptions> = {}) {
  const repository = new FaultyRepository()
  const log = new Remarks()
  const clock = { ms: START, forward (seconds: number): void { this.ms += seconds * 1000 } }
  const keeper = new Keeper(resolveOptions({ table: 'sessions', client: repository, now: () => clock.ms, ...options }), log)
  return { keeper, repository, log, clock }
}

/** A session that is stored, as a request would have opened it. */
export async function openStored (stage: ReturnType<typeof setKeeper>, data: Record<string, unknown> = { a: 1 }) {
  const { keeper, repository, log } = stage
  const created = keeper.blank(log)
  for (const [key, value] of Object.entries(data)) created.state.values.set(key, value)
  await created.save()
  const { id = '', key = '' } = created.state
  const open = async () => (await keeper.open(id, key, log)).visit
  const visit = await open()
  repository.take()
  return { visit, open, id, key }
}
