import { errors, isDefinite } from '../lib/errors.js'
import { assertAlive, gone, goneReason, presentEndOf } from '../lib/expiry.js'
import { COOKIE } from '../lib/foreign-record.js'
import { Form } from '../lib/form.js'
import type { Keeper } from '../lib/keeper.js'
import type { Plan } from '../lib/plan.js'
import { createNotice, type Log } from '../lib/report.js'
import { Writer } from '../lib/writer.js'
import type { SessionRecord } from '../types/repository.js'
import type { StoredSession } from '../types/store.js'
import { cookieIn, hasEnded, toSession, valuesIn, type Content } from './content.js'
import type { FormerItems } from './former.js'
import { Links } from './links.js'
import { keyOf, Reading, recordOfFormer, type Former } from './reading.js'
import type { StoreSettings } from './store-options.js'
import { Underway } from './underway.js'

/** Carries out what hosts ask of a store: their sessions are records like all others, under the hash of the host's id. */
export class HostSessions {
  readonly #keeper: Keeper
  readonly #options: StoreSettings
  readonly #former: FormerItems | undefined
  readonly #log: Log
  readonly #writer: Writer
  readonly #readings = new Links<Reading>()
  readonly #creations = new Underway()
  readonly #noticeDropped: ReturnType<typeof createNotice>

  constructor (keeper: Keeper, options: StoreSettings, former: FormerItems | undefined, log: Log) {
    this.#keeper = keeper
    this.#options = options
    this.#former = former
    this.#log = log
    this.#writer = new Writer(keeper.repository, options.settings)
    this.#noticeDropped = createNotice(options.settings.now, 'Changes were dropped, because their session has ended meanwhile')
  }

  async get (sid: string): Promise<StoredSession | null> {
    const key = keyOf(sid)
    const record = await this.#load(key)
    if (record === null) return await this.#getFormer(sid, key)
    return this.#isAlive(record) ? this.#give(record, sid) : null
  }

  /** Writes what differs from what this request has read. */
  async set (sid: string, session: object): Promise<void> {
    const key = keyOf(sid)
    const cookie = cookieIn(session)
    let reading = this.#readingOf(session, key)
    if (reading === undefined) {
      reading = new Reading(sid, key, cookie, this.#options)
      this.#readings.set(session, reading)
    }
    // At once: what the host changes from now on it has not handed in.
    await this.#write(reading, { values: valuesIn(session, reading.state.values.form), cookie })
  }

  /** Renews, and writes what has changed in the cookie. */
  async touch (sid: string, session: object): Promise<void> {
    const key = keyOf(sid)
    const cookie = cookieIn(session)
    const reading = this.#readingOf(session, key) ?? await this.#read(sid, key)
    if (reading !== undefined) await this.#write(reading, { values: undefined, cookie })
  }

  /**
   * What other stores left goes first: a request that moves it looks, once it has written, whether it is there yet, and takes
   * back what it wrote where it is not.
   */
  async destroy (sid: string): Promise<void> {
    const key = keyOf(sid)
    await this.#former?.removeAll(sid)
    // A delete that comes before the record would leave it.
    await this.#creations.ended(key)
    await this.#writer.destroyKey(key, this.#log)
  }

  /** A session that a host made of one that was read is the same one. */
  follow (session: object, read: object): void {
    const reading = this.#readings.get(read)
    if (reading === undefined) return
    reading.presentAs(Object.keys(session))
    this.#readings.set(session, reading)
  }

  async #load (key: string): Promise<SessionRecord | null> {
    const { repository, settings: { consistentRead } } = this.#keeper
    const record = await repository.load(key, consistentRead)
    if (consistentRead || this.#isAlive(record)) return record
    // A replica that lags has not heard of the session, or of its renewal, yet.
    return await repository.load(key, true)
  }

  async #getFormer (sid: string, key: string): Promise<StoredSession | null> {
    const now = this.#now()
    const items = this.#former
    if (items === undefined || now * 1000 >= this.#options.readsFormerUntil) return null
    const found = await items.find(sid, now)
    if (found !== undefined) return this.#give(recordOfFormer(key, found, this.#options, now), sid, { items, key: found.key })
    // Perhaps another request has moved it between the two reads.
    const moved = await this.#keeper.repository.load(key, true)
    return this.#isAlive(moved) ? this.#give(moved, sid) : null
  }

  #give (record: SessionRecord, sid: string, former?: Former): StoredSession {
    const { settings } = this.#options
    const form = Form.of(record, settings)
    const values = [...record.data].map(([name, stored]) => [name, form.read(name, stored)] as const)
    const session = toSession(values, presentEndOf(record, settings))
    const reading = new Reading(sid, record.key, cookieIn(session), this.#options, record)
    reading.former = former
    this.#readings.mark(session, reading)
    return session
  }

  /** For a host that does not tell what it has read. */
  async #read (sid: string, key: string): Promise<Reading | undefined> {
    const record = await this.#load(key)
    if (!this.#isAlive(record)) return undefined
    const stored = record.data.get(COOKIE)
    const cookie = stored && Form.of(record, this.#options.settings).read(COOKIE, stored)
    return new Reading(sid, key, cookieIn({ cookie }), this.#options, record)
  }

  async #write (reading: Reading, content: Content): Promise<void> {
    if (hasEnded(content.cookie, this.#now())) return await this.destroy(reading.sid)
    try {
      const written = reading.turns.take(async () => {
        if (reading.state.record === undefined) await this.#create(reading, content)
        else await this.#update(reading, content)
      })
      await (reading.state.record === undefined ? this.#creations.follow(reading.key, written) : written)
    } catch (error) {
      // Another request has ended it, and its visitor knows; this one asked for something else.
      if (!(error instanceof errors.Gone)) throw error
      this.#noticeDropped(this.#log, reading.key)
    }
  }

  /** A session that nobody has read, and so a new one; or one of a host that does not tell what it has read, which is written whole. */
  async #create (reading: Reading, content: Content): Promise<void> {
    const { sid, key, state } = reading
    const now = this.#now()
    reading.assign(content, now)
    const record = reading.newRecord(now)
    const { repository } = this.#keeper
    if (await repository.create(record, now)) return state.adopt(sid, record)
    state.adopt(sid, assertAlive(await repository.load(key, true), key, state.settings, now))
    await this.#update(reading, content)
  }

  async #update (reading: Reading, content: Content): Promise<void> {
    const { state, former } = reading
    const now = this.#now()
    reading.assign(content, now)
    const plan = state.plan(now, false)
    if (plan.kind === 'nothing') return
    if (former !== undefined) return await this.#move(reading, former, plan, content)
    try {
      await this.#writer.carryOut(state, plan, this.#log)
    } catch (error) {
      // Whether it was written is not known, so it is written again.
      if (plan.kind === 'save' && !isDefinite(error)) state.doubt(plan.change)
      throw error
    }
  }

  /** Makes a record of ours of what another store left, and takes that away. */
  async #move (reading: Reading, former: Former, plan: Plan, content: Content): Promise<void> {
    const { sid, key, state } = reading
    const { repository } = this.#keeper
    const now = this.#now()
    const record = reading.newRecord(now)
    if (!await repository.create(record, now)) {
      // Another request has moved it meanwhile: what this one changed goes beside what that wrote.
      const present = assertAlive(await repository.load(key, true), key, state.settings, now)
      reading.former = undefined
      return await this.#update(reading, reading.rebase(present, plan, content))
    }
    if (!await this.#isStillThere(former, key)) {
      await this.#writer.destroyKey(key, this.#log)
      throw gone(key)
    }
    state.adopt(sid, record)
    reading.former = undefined
    await former.items.remove(former.key).catch((err: unknown) => {
      this.#log.warn({ err, loggableId: key }, 'The record of a session that was moved is left to TTL')
    })
  }

  /** Where that cannot be known, the session stays where it was. */
  async #isStillThere (former: Former, key: string): Promise<boolean> {
    try {
      return await former.items.has(former.key)
    } catch (error) {
      await this.#writer.destroyKey(key, this.#log).catch((err: unknown) => {
        this.#log.warn({ err, loggableId: key }, 'A session that was moved could not be taken back')
      })
      throw error
    }
  }

  #readingOf (session: object, key: string): Reading | undefined {
    const reading = this.#readings.get(session)
    return reading?.key === key ? reading : undefined
  }

  #isAlive (record: SessionRecord | null): record is SessionRecord {
    return goneReason(record, this.#options.settings, this.#now()) === undefined
  }

  #now (): number {
    return this.#options.settings.now() / 1000
  }
}
