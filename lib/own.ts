import type { SessionRecord, SettingsChange } from '../types/repository.js'
import type { OwnTimeouts } from './expiry.js'
import { LazySet } from './lazy.js'

/** A session's own settings, where it has any. */
export type OwnSettings = OwnTimeouts & { readonly cookieMaxAge?: number | undefined, readonly user?: string | undefined }

const NAMES = ['idleTimeout', 'absoluteTimeout', 'cookieMaxAge', 'user'] as const

/** What stays where a session begins anew. */
const LASTING = ['user'] as const

const NONE: OwnSettings = {}
const NO_CHANGES: SettingsChange = {}

/** The settings of one session's own: those that are stored, under those that the application assigned since. */
export class Own {
  #stored: OwnSettings
  #assigned: OwnSettings
  readonly #doubted = new LazySet<typeof NAMES[number]>()

  /** `stored` may be a whole record. */
  constructor (stored = NONE, assigned = NONE) {
    this.#stored = stored
    this.#assigned = assigned
  }

  get (): OwnSettings {
    return { ...pick(this.#stored, NAMES), ...this.#assigned }
  }

  assign (settings: OwnSettings): void {
    this.#assigned = { ...this.#assigned, ...settings }
  }

  /** What is to be written; `null` removes. */
  changes (): SettingsChange {
    if (this.#assigned === NONE && this.#doubted.size === 0) return NO_CHANGES
    const own = this.get()
    const changed = NAMES.filter(name => this.#doubted.has(name) || own[name] !== this.#stored[name])
    return Object.fromEntries(changed.map(name => [name, own[name] ?? null]))
  }

  /** Takes a record as what is stored: what others have written counts, save where the application has assigned since. */
  settle (record: SessionRecord, written: SettingsChange = this.changes()): void {
    this.#stored = record
    for (const name of NAMES) if (name in written) this.#doubted.delete(name)
    if (this.#assigned !== NONE) this.#assigned = pick(this.#assigned, Object.keys(this.changes()))
  }

  /** The same settings, for a session that replaces this one; where it begins anew, only whose it is. */
  moved (whole: boolean): Own {
    return new Own({}, pick(this.get(), whole ? NAMES : LASTING))
  }

  /** Whether these settings are stored is not known: they are written again, whatever they are by then. */
  doubt (settings: SettingsChange): void {
    for (const name of NAMES) if (name in settings) this.#doubted.add(name)
  }

  /** Takes what others have changed in a record meanwhile, save where it differs here from what it was before. */
  takeAnew (before: SessionRecord, present: SessionRecord, whole: boolean): void {
    const own = this.get()
    this.assign(pick(present, (whole ? NAMES : LASTING).filter(name => own[name] === before[name])))
  }
}

function pick (settings: OwnSettings, names: readonly string[]): OwnSettings {
  return Object.fromEntries(NAMES.filter(name => names.includes(name) && name in settings).map(name => [name, settings[name]]))
}
