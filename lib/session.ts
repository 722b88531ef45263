import type { RecordChange, SessionRecord, SettingsChange } from '../types/repository.js'
import { errors } from './errors.js'
import { activeEndOf, presentEndOf, timeoutsOf, type Timeouts } from './expiry.js'
import { Form, type FormSettings } from './form.js'
import { Own } from './own.js'
import { isChange, narrower, newRecord, NOTHING, planRenewal, renewalOf, takeAnew, type Delivery, type Binding, type Keep, type Plan, type Replaced } from './plan.js'
import { hash, type Tokens } from './token.js'
import type { UserIndex } from './naming.js'
import { Values, type ValueChanges } from './values.js'

/** What all sessions of one registration share. */
export interface SessionSettings extends Timeouts, FormSettings {
  readonly reissueTime: number
  /** Whether a save over data that others have written meanwhile is refused, or goes beside it. */
  readonly conflict: 'merge' | 'reject'
  readonly userIndex: UserIndex | false
  readonly tokens: Tokens
}

/**
 * The one word of state. `blank`: nothing stored, nothing to store. `started`: to be created. `loaded`: stored and not
 * assigned to. `changed`: stored and assigned to. `destroyed`: was stored, is gone, its token is to be cleared.
 * `settled`: the request's plan was taken; what changes now is saved by `save()` or not at all.
 */
export type Status = 'blank' | 'started' | 'loaded' | 'changed' | 'destroyed' | 'settled'

/** One session in one request: pure and synchronous. It knows no request and no table; it decides, and others act. */
export class SessionState {
  status: Status = 'blank'
  /** What is stored, as far as this process knows it: its version is the last one whose data is known whole. */
  record: SessionRecord | undefined
  /** The version that was written last, which others' writes may have raised beyond the record's. */
  version: number | undefined
  values: Values
  own = new Own()
  replaced: Replaced | undefined
  /** To whom the session is to be bound. */
  binding: Binding | undefined
  delivery: Delivery = {}
  /** Whether a write was refused or failed, so that the session may be dead and its token is not to be sent anew. */
  failed = false
  /** Told of every change, where somebody asks to be. */
  onChange: (() => void) | undefined
  /** How often values or settings were assigned: what is the same as before has no change since. */
  changeCount = 0
  readonly settings: SessionSettings
  /** Why the session is not known, where it could not be read: it seems blank and refuses every change. */
  unread: Error | undefined
  #id: string | undefined
  #key: string | undefined
  #wantsTouch = false
  #toldAt: number | undefined
  #chosenMaxAge: number | undefined

  /** `toldAt`: epoch seconds of the last activity that the browser was told of, where it is told of any. */
  constructor (settings: SessionSettings, stored?: { readonly id: string, readonly record: SessionRecord, readonly toldAt?: number | undefined }) {
    this.settings = settings
    this.#toldAt = stored?.toldAt
    this.values = new Values(Form.unstored(this.settings))
    if (stored !== undefined) this.adopt(stored.id, stored.record)
  }

  get id (): string | undefined { return this.#id }
  get key (): string | undefined { return this.#key }
  /** Where nobody has told of an activity, as outside a request, the end that the table knows. */
  get expiresAt (): number | undefined { return this.record && (this.#toldAt === undefined ? presentEndOf : activeEndOf)(this.record, this.settings) }

  /** Takes a record as what is stored; what was changed before is dropped. */
  adopt (id: string, record: SessionRecord): void {
    this.values = new Values(Form.of(record, this.settings), record.data)
    this.record = record
    this.version = record.version
    this.replaced = this.binding = undefined
    this.own = new Own(record)
    this.#id = id
    this.#key = record.key
    this.#move('loaded')
  }

  /** What is not known is not changed: it would be lost. */
  assertReadable (): void {
    if (this.unread !== undefined) throw new errors.Unavailable({ cause: this.unread })
  }

  /** Called with every change of a value or a setting. */
  change (): void {
    this.changeCount += 1
    this.onChange?.()
    if (this.#id === undefined) this.takeOtherId()
    this.#move(this.record === undefined ? 'started' : 'changed')
  }

  regenerate (keep: Keep): void {
    this.values = this.values.moved(Form.unstored(this.settings), keep)
    // The first record stands: regenerating twice replaces it once.
    if (this.record !== undefined) this.replaced = { record: this.record, keep }
    else if (this.replaced !== undefined) this.replaced = { ...this.replaced, keep: narrower(this.replaced.keep, keep) }
    this.record = this.version = undefined
    this.own = this.own.moved(keep === true)
    this.takeOtherId()
    this.change()
  }

  /** An id for a session that is yet to be created; returns the key that goes with it. */
  takeOtherId (): string {
    this.#id = this.settings.tokens.makeId()
    this.#key = hash(this.#id)
    return this.#key
  }

  /**
   * The record to be replaced has changed since it was read: what is kept of it is taken anew, save what this request
   * has changed itself.
   */
  carryOver (present: SessionRecord): void {
    if (this.replaced === undefined) return
    const { record: before, keep } = this.replaced
    takeAnew(this.values, keep, before, present, this.settings)
    this.own.takeAnew(before, present, keep === true)
    this.replaced = { record: present, keep }
  }

  deliver (delivery: Delivery): void { this.delivery = { ...this.delivery, ...delivery } }

  /** The session is stored nowhere any more and may be used anew. */
  forget (): void {
    this.values = new Values(Form.unstored(this.settings))
    this.record = this.version = undefined
    this.replaced = this.binding = undefined
    this.delivery = { token: 'clear' }
    this.own = new Own()
    this.#id = this.#key = undefined
    this.#wantsTouch = false
    this.#move('destroyed')
  }

  touch (): void { this.#wantsTouch = true }
  timeouts (): Timeouts { return timeoutsOf(this.own.get(), this.settings) }

  /** Whether anything would be written. Compares what may have changed in place, and throws what no format can carry. */
  isChanged (): boolean {
    if (this.record === undefined) return this.replaced !== undefined || this.#hasSubstance()
    return isChange(this.values.changes(), this.own.changes())
  }

  /** The plan at the end of a request: taken once, because Fastify runs onSend again when it throws. */
  takeLastPlan (now: number): Plan {
    if (this.status === 'settled') return NOTHING
    this.status = 'settled'
    return this.plan(now, false)
  }

  /** A save of these changes has an unknown outcome. */
  doubt ({ set, delete: deleted, settings }: RecordChange): void {
    this.values.doubt([...set.keys(), ...deleted])
    this.own.doubt(settings)
  }

  /** How long the cookie is to live, in seconds: of this session, and of any other that this request goes on to store. */
  chooseMaxAge (seconds: number | undefined): void {
    this.#chosenMaxAge = seconds
    this.own.assign({ cookieMaxAge: seconds })
    this.change()
  }

  /** What is to be done now; `explicit` where the application asked, so that a session without data is stored too. */
  plan (now: number, explicit: boolean): Plan {
    if (this.record !== undefined) return this.#planStored(this.record, now, explicit)
    if (this.replaced !== undefined) return this.#planReplacing(this.replaced, now, explicit)
    if (!explicit && !this.#hasSubstance()) return NOTHING
    return { kind: 'create', ...this.#newRecord(now), now }
  }

  /** After the plan was carried out: the record as it is now known, what was written, and its version. */
  stored (record: SessionRecord, written: ValueChanges & { readonly settings?: SettingsChange }, version: number | undefined): void {
    this.record = record
    this.version = version
    this.replaced = this.binding = undefined
    this.values.settle(written, Form.of(record, this.settings))
    this.own.settle(record, written.settings ?? {})
    this.#wantsTouch = false
    this.#toldAt = record.lastSeenAt
    this.#move('loaded')
  }

  #hasSubstance (): boolean { return this.binding !== undefined || this.values.hasSubstance() }

  #move (status: Status): void {
    if (this.status !== 'settled') this.status = status
  }

  #planStored (base: SessionRecord, now: number, explicit: boolean): Plan {
    const values = this.values.changes()
    const settings = this.own.changes()
    const renewal = renewalOf(base, settings, this.settings, now)
    const sameVersion = this.settings.conflict === 'reject'
    if (isChange(values, settings)) {
      const change = { set: this.values.form.wrapAll(values.set), delete: values.delete, settings, renewal, base, sameVersion, now }
      return { kind: 'save', change, content: [values, settings] }
    }
    const occasion = { now, explicit, isWanted: this.#wantsTouch, toldAt: this.#toldAt }
    return renewal === undefined ? NOTHING : planRenewal(base, renewal, this.settings, occasion)
  }

  #planReplacing (replaced: Replaced, now: number, explicit: boolean): Plan {
    if (!explicit && !this.#hasSubstance()) return { kind: 'discard', old: replaced.record }
    return { kind: 'regenerate', ...this.#newRecord(now, replaced), old: replaced.record, keep: replaced.keep, now }
  }

  #newRecord (now: number, replaced?: Replaced): { record: SessionRecord, content: unknown } {
    const own = this.own.get()
    const cookieMaxAge = own.cookieMaxAge ?? this.#chosenMaxAge
    const encoded = this.values.all()
    const parts = { key: this.#key ?? this.takeOtherId(), format: this.values.form.format.name, ...own, cookieMaxAge }
    const data = Form.of(parts, this.settings).wrapAll(encoded)
    const past = replaced?.keep === true ? replaced.record : undefined
    const record = newRecord({ ...parts, data }, this.settings, now, past)
    return { record, content: [encoded, own.idleTimeout, own.absoluteTimeout, cookieMaxAge, own.user] }
  }
}
