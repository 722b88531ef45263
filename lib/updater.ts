import { setTimeout as sleep } from 'node:timers/promises'
import type { RecordChange, Repository, SessionRecord, StoredValue, WriteAnswer } from '../types/repository.js'
import { errors, isDefinite, isOurs } from './errors.js'
import { tellConflict } from './events.js'
import { assertAlive, type Timeouts } from './expiry.js'
import { isSame, isSameEncoded, type Form } from './form.js'
import { mergedData } from './item.js'
import { knownRecord, renewalOf } from './plan.js'
import { UpdateQueue, type Latest, type Line } from './queue.js'
import type { SessionState } from './session.js'
import { UNTOUCHED, type ValueChanges, type Values } from './values.js'

/** How often others may get ahead of an update, before the visitor is asked to repeat: more than any browser's requests do. */
const MOST_REFUSALS = 100

/** Writes' times of a pause after a refusal, one more with each up to these, and then a random part of that (full jitter). */
const LONGEST_PAUSE = 4

/** Milliseconds, however slow the writes are. */
const MOST_PAUSE = 250

/** The application's part of an update: what stands under the key, to what is to stand there. */
export type Ask = (value: unknown) => Promise<unknown>

export interface UpdaterSettings extends Timeouts {
  /** Seconds that one update may take while others in this process wait for it. */
  readonly timeout: number
  /** Epoch milliseconds. */
  readonly now: () => number
}

/** One attempt: what stands in the table as far as is known, by which record, and whether a strong read said so. */
interface Look { readonly base: SessionRecord, readonly stored: StoredValue | undefined, readonly isSure: boolean }

/** The new value, once written or found to be there; else the record that was found instead. */
type Outcome = { readonly value: unknown, /** Of the record, where it was written. */ readonly version?: number } | {
  readonly present: SessionRecord | null
  /** Whether the application itself has read it. */
  readonly isOwn?: boolean
  /** Whether nothing of others may be overwritten, as the option `conflict` asks. */
  readonly isFinal?: boolean
}

/** Changes one value of a stored session by what it was: reads, asks, and writes on condition that it still is that. */
export class Updater {
  readonly #repository: Repository
  readonly #settings: UpdaterSettings
  readonly #queue: UpdateQueue
  readonly #random: () => number

  constructor (repository: Repository, settings: UpdaterSettings, random: () => number = Math.random) {
    this.#repository = repository
    this.#settings = settings
    this.#queue = new UpdateQueue(settings.timeout)
    this.#random = random
  }

  /** `written`: told of the version that the record has, unless nothing was to be written. */
  async update (state: SessionState, record: SessionRecord, name: string, ask: Ask, written: (version: number) => void = () => {}): Promise<unknown> {
    const { value, version } = await this.#queue.run(record.key, async line => await this.#repeat(state, record, name, ask, line))
      .catch((error: unknown) => {
        if (isOurs(error)) state.failed = true
        throw error
      })
    if (version !== undefined) written(version)
    return value
  }

  async #repeat (state: SessionState, record: SessionRecord, name: string, ask: Ask, line: Line): Promise<Extract<Outcome, { value: unknown }>> {
    let look = lookAt(record, name, line.latest.get(name))
    for (let refusals = 0; refusals < MOST_REFUSALS; refusals++) {
      const outcome = await this.#attempt(state, look, name, ask, line)
      if ('value' in outcome) return outcome
      const found = refusals === 0 ? outcome.present : await this.#readLater(record.key, refusals, line.took)
      const base = assertAlive(found, record.key, this.#settings, this.#now())
      if (outcome.isOwn !== true) {
        tellConflict(record.key)
        line.isContended = true
      }
      if (outcome.isFinal === true) break
      look = { base, stored: base.data.get(name), isSure: true }
    }
    throw new errors.Conflict()
  }

  /** What was read before the pause would be out of date after it. */
  async #readLater (key: string, refusals: number, took: number): Promise<SessionRecord | null> {
    await sleep(this.#random() * Math.min(took * Math.min(refusals, LONGEST_PAUSE), MOST_PAUSE))
    return await this.#repository.load(key, true)
  }

  async #attempt (state: SessionState, look: Look, name: string, ask: Ask, line: Line): Promise<Outcome> {
    // An attempt before this one may have been overtaken by a new id.
    this.#sameSession(state, look)
    const { values, values: { form } } = state
    const mark = values.mark(name)
    const pending = values.pending(name)
    const stored = pending === undefined ? unwrapped(form, name, look.stored) : pending.encoded
    const value = await ask(stored === undefined ? undefined : form.decode(stored))
    if (state.values !== values) return { present: this.#sameSession(state, look), isOwn: true }
    const to = value === undefined ? undefined : form.encode(name, value)
    if (pending === undefined && isSameEncoded(form, stored, to)) {
      const present = await this.#confirm(look, name, form)
      if (present !== undefined) return { present }
      this.#noteFound(state, look, name, values, () => { values.hold(name, value, mark) })
      return { value }
    }
    const written = wrapped(form, name, to)
    const change = pending === undefined ? this.#changeOf(look, name, written) : this.#overwriting(state, look, name, written)
    const answer = await this.#write(state, change, name, line)
    if (!answer.done) return { present: answer.record, isFinal: pending !== undefined && isOvertaken(change, answer.record) }
    line.latest.set(name, { version: answer.version, value: written })
    const isReread = state.values !== values
    this.#note(state, change, answer, isReread, () => { state.values.hold(name, value, isReread ? UNTOUCHED : mark) })
    return { value, version: answer.version }
  }

  async #write (state: SessionState, change: RecordChange, name: string, line: Line): Promise<WriteAnswer> {
    const start = performance.now()
    return await this.#repository.save(change.base.key, change)
      .catch((error: unknown) => {
        if (!isDefinite(error) && state.record?.key === change.base.key) state.values.unsure(name)
        throw error
      })
      .finally(() => { line.took = performance.now() - start })
  }

  /** Nothing was to be written, because the table has it already. */
  #noteFound (state: SessionState, { stored }: Look, name: string, values: Values, hold: () => void): void {
    const { record } = state
    // Where the session was read again meanwhile, what was found is there.
    if (state.values !== values || record === undefined) return
    hold()
    const found = asWritten(name, stored)
    values.settle(found, values.form)
    state.record = { ...record, data: mergedData({ base: record, ...found }) }
  }

  /** Others may have gone ahead while the application was asked, and have put another session in place of this one. */
  #note (state: SessionState, change: RecordChange, { version, writes }: WriteAnswer & { readonly done: true }, isReread: boolean, hold: () => void): void {
    const { key } = change.base
    if (state.record?.key !== key) return
    state.deliver({ wrote: { key, version } })
    // The application has read the session again meanwhile, with this write in it.
    if (isReread && state.record.version >= version) return
    hold()
    state.stored(knownRecord(state.record, change, version, writes), change, version)
  }

  /** Where nothing is to be written, the table is asked whether that is so: what this request read may be out of date. */
  async #confirm ({ base, stored, isSure }: Look, name: string, form: Form): Promise<SessionRecord | undefined> {
    if (isSure) return undefined
    const present = assertAlive(await this.#repository.load(base.key, true), base.key, this.#settings, this.#now())
    const read = (value: StoredValue | undefined): unknown => value === undefined ? undefined : form.read(name, value)
    return isSame(() => read(present.data.get(name)), () => read(stored)) ? undefined : present
  }

  /** The application has read the session again, or has ended it, while it was asked. */
  #sameSession ({ record }: SessionState, { base }: Look): SessionRecord {
    if (record?.key !== base.key) throw new errors.Gone()
    return record
  }

  /** Over what this request has put there itself: it may not depend on the value, but on what others have written since. */
  #overwriting (state: SessionState, look: Look, name: string, to: StoredValue | undefined): RecordChange {
    const base = { ...look.base, version: Number(state.record?.version) }
    return { ...this.#changeOf(look, name, to), base, expected: undefined, sameVersion: state.settings.conflict === 'reject' }
  }

  #changeOf ({ base, stored }: Look, name: string, to: StoredValue | undefined): RecordChange {
    const now = this.#now()
    // Not every engine compares lists and maps.
    const isComparable = stored?.L === undefined && stored?.M === undefined
    return {
      ...asWritten(name, to),
      settings: {},
      renewal: renewalOf(base, {}, this.#settings, now),
      base,
      sameVersion: !isComparable,
      expected: isComparable ? new Map([[name, stored]]) : undefined,
      now
    }
  }

  #now (): number { return this.#settings.now() / 1000 }
}

/** The same for a session that is stored nowhere: nobody else has it, so nobody gets ahead. What it changes is to be saved. */
export async function assign (state: SessionState, name: string, ask: Ask): Promise<{ readonly value: unknown, undo (): void }> {
  const value = await ask(state.values.copyOf(name))
  const { values } = state
  const before = values.get(name)
  if (value !== undefined) values.set(name, value)
  else if (!values.delete(name)) return { value, undo: () => {} }
  state.change()
  const mark = values.mark(name)
  return { value, undo: () => { values.hold(name, before, mark) } }
}

/** Whether others have written data over which nothing may be written. */
function isOvertaken ({ sameVersion, base }: RecordChange, present: SessionRecord | null): boolean {
  return sameVersion === true && present?.version !== base.version
}

function wrapped (form: Form, name: string, encoded: StoredValue | undefined): StoredValue | undefined {
  return encoded === undefined ? undefined : form.wrap(name, encoded)
}

function unwrapped (form: Form, name: string, stored: StoredValue | undefined): StoredValue | undefined {
  return stored === undefined ? undefined : form.unwrap(name, stored)
}

function asWritten (name: string, stored: StoredValue | undefined): ValueChanges {
  return stored === undefined ? { set: new Map(), delete: [name] } : { set: new Map([[name, stored]]), delete: [] }
}

function lookAt (record: SessionRecord, name: string, latest: Latest | undefined): Look {
  if (latest === undefined || latest.version < record.version) return { base: record, stored: record.data.get(name), isSure: false }
  return { base: { ...record, version: latest.version }, stored: latest.value, isSure: false }
}
