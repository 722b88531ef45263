import type { StoredValue } from '../types/repository.js'
import { isSameEncoded, type Form } from './form.js'
import { LazyMap, LazySet } from './lazy.js'
import { assertKey } from './names.js'
import { isEmptyContainer, isMutable } from './plain.js'

/** A value in its decoded form, and whether it was assigned, not only read. */
interface Held {
  readonly value: unknown
  readonly assigned: boolean
  /** Its stored form, where it was assigned and cannot change in place. */
  readonly encoded?: StoredValue | undefined
  /** Whether it is no change where nothing is stored. */
  readonly isNothing?: boolean | undefined
}

/** What the application had done about a key at some moment. Reading is nothing. */
export interface Mark { readonly assigned: object | undefined, readonly isDeleted: boolean }

/** Of a key about which the application has done nothing. */
export const UNTOUCHED: Mark = { assigned: undefined, isDeleted: false }

/** What has changed, encoded. */
export interface ValueChanges {
  readonly set: ReadonlyMap<string, StoredValue>
  readonly delete: readonly string[]
}

const NOTHING_STORED: ReadonlyMap<string, StoredValue> = new Map()
const NO_CHANGES: ValueChanges = { set: NOTHING_STORED, delete: [] }

/**
 * The values of one session over what is stored: decoded when first asked for, encoded only when they may have changed.
 * A value may have changed when it was assigned, or when it is an object that the application has in hand.
 */
export class Values {
  form: Form
  #stored: ReadonlyMap<string, StoredValue>
  /** Stored values out of their envelopes, once they were asked for. */
  readonly #unwrapped = new LazyMap<string, { readonly stored: StoredValue, readonly encoded: StoredValue }>()
  readonly #held = new LazyMap<string, Held>()
  readonly #deleted = new LazySet<string>()
  /** Keys of which it is not known whether they are stored as they were tried. */
  readonly #doubted = new LazySet<string>()
  /** Keys of which it is not known what is stored: assigning or deleting is a change then, whatever the value. */
  readonly #unsure = new LazySet<string>()

  constructor (form: Form, stored = NOTHING_STORED) {
    this.form = form
    this.#stored = stored
  }

  has (key: string): boolean {
    return this.#held.has(key) || (this.#stored.has(key) && !this.#deleted.has(key))
  }

  get (key: string): unknown {
    const held = this.#held.get(key)
    if (held !== undefined) return held.value
    if (this.#deleted.has(key)) return undefined
    const encoded = this.#encodedOf(key)
    if (encoded === undefined) return undefined
    const value = this.form.decode(encoded)
    this.#held.set(key, { value, assigned: false })
    return value
  }

  /** Assigns a value, which is tried on the format first: the handler that gave it is the one to hear of it. */
  set (key: string, value: unknown, isNothing = false): void {
    assertKey(key)
    const encoded = this.form.encode(key, value)
    this.#held.set(key, { value, assigned: true, encoded: isMutable(value) ? undefined : encoded, isNothing })
    this.#deleted.delete(key)
  }

  delete (key: string): boolean {
    const had = this.has(key)
    this.#held.delete(key)
    if (this.#stored.has(key) || this.#unsure.has(key)) this.#deleted.add(key)
    return had
  }

  keys (): string[] {
    const stored = [...this.#stored.keys()].filter(key => !this.#deleted.has(key))
    return [...new Set([...stored, ...this.#held.keys()])]
  }

  /** A deep copy: each value by way of its encoded form, which holds it whole. */
  copy (): Map<string, unknown> {
    return new Map([...this.all()].map(([key, encoded]) => [key, this.form.decode(encoded)]))
  }

  /** The same of one value. */
  copyOf (key: string): unknown {
    return this.has(key) ? this.form.decode(this.form.encode(key, this.get(key))) : undefined
  }

  /** Every value, encoded. */
  all (): Map<string, StoredValue> {
    const { set } = this.changes()
    return new Map(this.keys().map(key => [key, set.get(key) ?? this.#encodedOf(key) ?? this.form.encode(key, this.get(key))]))
  }

  /** What is worth a session: anything but empty objects and arrays, which plugins put there to find them later. */
  hasSubstance (): boolean {
    if (this.#stored.size === 0 && this.#held.size === 0) return false
    return this.keys().some(key => !isEmptyContainer(this.get(key)))
  }

  /** What is to be written over a record. */
  changes (): ValueChanges {
    let changes: { set: Map<string, StoredValue>, delete: string[] } | undefined
    const isPlain = this.#deleted.size === 0 && this.#doubted.size === 0
    for (const key of isPlain ? this.#held.keys() : new Set([...this.#held.keys(), ...this.#deleted.values(), ...this.#doubted.values()])) {
      const pending = this.pending(key)
      if (pending === undefined) continue
      changes ??= { set: new Map(), delete: [] }
      if (pending.encoded !== undefined) changes.set.set(key, pending.encoded)
      else changes.delete.push(key)
    }
    return changes ?? NO_CHANGES
  }

  /** What is to be written under a key, `encoded` undefined where it is to be deleted; undefined where nothing is. */
  pending (key: string): { readonly encoded: StoredValue | undefined } | undefined {
    const held = this.#held.get(key)
    if (held === undefined) return this.#isDeletion(key) ? { encoded: undefined } : undefined
    const isUnknown = this.#doubted.has(key) || (held.assigned && this.#unsure.has(key))
    if (!isUnknown && !this.#mayChange(key, held)) return undefined
    const encoded = held.encoded ?? this.form.encode(key, held.value)
    return isUnknown || !this.#isStored(key, encoded) ? { encoded } : undefined
  }

  #mayChange (key: string, { value, assigned, isNothing }: Held): boolean {
    // Written over a record, it would take away what another request has left since. The application may have filled it.
    if (isNothing === true && isEmptyContainer(value) && !this.#stored.has(key)) return false
    return assigned || isMutable(value)
  }

  #isDeletion (key: string): boolean {
    return this.#deleted.has(key) || (this.#doubted.has(key) && !this.#stored.has(key))
  }

  /** A write of these keys has an unknown outcome: they are written again, whatever they are by then. */
  doubt (keys: readonly string[]): void {
    for (const key of keys) this.#doubted.add(key)
  }

  /** An update of this key has an unknown outcome: it is not written again by itself, but what is assigned from now on is. */
  unsure (key: string): void {
    const held = this.#held.get(key)
    if (held !== undefined && this.pending(key) === undefined) this.#held.set(key, { ...held, assigned: false })
    this.#unsure.add(key)
  }

  /** What the application has done about a key up to this moment, to see later whether it has done more. */
  mark (key: string): Mark {
    const held = this.#held.get(key)
    return { assigned: held?.assigned === true ? held : undefined, isDeleted: this.#deleted.has(key) }
  }

  /** Gives the application the value that an update has written, unless it has assigned another since the mark. */
  hold (key: string, value: unknown, mark: Mark): void {
    const { assigned, isDeleted } = this.mark(key)
    if (assigned !== mark.assigned || isDeleted !== mark.isDeleted) return
    this.delete(key)
    if (value === undefined) return
    this.#held.set(key, { value, assigned: true })
    this.#deleted.delete(key)
  }

  isDoubted (key: string): boolean {
    return this.#doubted.has(key)
  }

  /** Takes what was written for stored. Values in hand stay in hand, because the application may change them yet. */
  settle (written: ValueChanges, form: Form): void {
    this.form = form
    const stored = new Map([...this.#stored, ...written.set])
    for (const key of written.delete) stored.delete(key)
    this.#stored = stored
    for (const key of written.delete) this.#deleted.delete(key)
    for (const key of [...written.set.keys(), ...written.delete]) {
      this.#doubted.delete(key)
      this.#unsure.delete(key)
    }
    // Deleted while the write was under way.
    for (const key of written.set.keys()) if (!this.#held.has(key)) this.#deleted.add(key)
  }

  /** The same values, or those of the named keys, as assigned to a session that has none stored. */
  moved (form: Form, keep: readonly string[] | boolean): Values {
    const values = new Values(form)
    const keys = typeof keep === 'boolean' ? (keep ? this.keys() : []) : keep
    for (const key of keys) if (this.has(key)) values.set(key, this.get(key), this.#held.get(key)?.isNothing)
    // Not known there either: what was assigned since is written, and not taken anew from the record.
    values.doubt([...this.#doubted.values(), ...[...this.#unsure.values()].filter(key => this.pending(key) !== undefined)])
    return values
  }

  #encodedOf (key: string): StoredValue | undefined {
    const stored = this.#stored.get(key)
    if (stored === undefined) return undefined
    const known = this.#unwrapped.get(key)
    if (known?.stored === stored) return known.encoded
    const encoded = this.form.unwrap(key, stored)
    if (encoded !== stored) this.#unwrapped.set(key, { stored, encoded })
    return encoded
  }

  #isStored (key: string, encoded: StoredValue): boolean {
    try {
      return isSameEncoded(this.form, this.#encodedOf(key), encoded)
    } catch {
      // What is stored cannot be opened, and is replaced by what is set.
      return false
    }
  }
}
