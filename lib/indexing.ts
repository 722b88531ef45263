import type { IndexChange, Indexing } from '../types/indexing.js'
import type { DynamoSessionOptions } from '../types/options.js'
import type { RecordChange, SessionRecord, StoredValue } from '../types/repository.js'
import { errors } from './errors.js'
import { Form, type FormSettings } from './form.js'
import { RESERVED, type Layout } from './item.js'

/** Bytes of a text or of bytes that can be a partition key of an index. A sort key may have half of it. */
const LONGEST_INDEX_KEY = 2048

const GREATEST_NUMBER = 9.9999999999999e125
const SMALLEST_NUMBER = 1e-130

const INTEGER = /^-?\d+$/

type Options = Pick<DynamoSessionOptions, 'indexKeys' | 'encryptionKeys'>

/** A layout with the session keys that are to be indexed, each of which takes an attribute of its own name. */
export function withIndex (layout: Layout, { indexKeys = [], encryptionKeys }: Options, form: FormSettings): Layout {
  const names = indexKeys.map(given => typeof given === 'string' ? given : given.key)
  if (names.length === 0) return layout
  const taken = [...RESERVED, layout.partitionKey.name, layout.ttlAttribute]
  for (const [position, name] of names.entries()) {
    if (taken.includes(name)) throw new errors.BadOption('indexKeys', `cannot name "${name}", an attribute that records have: keep the value under another session key`)
    if (names.indexOf(name) !== position) throw new errors.BadOption('indexKeys', `names "${name}" twice`)
  }
  const bare = encryptionKeys === undefined ? undefined : indexKeys.find(given => typeof given === 'string')
  if (bare !== undefined) throw new errors.BadOption('indexKeys', `would store the value of "${bare}" unsealed: say { key: "${bare}", plain: true } where that is meant`)
  return Object.freeze({ ...layout, index: createIndexing(names, form) })
}

/** Attributes beside the data, for session keys that are to be indexed. Pure: what the table is told follows from the values. */
export function createIndexing (names: readonly string[], settings: FormSettings): Indexing {
  const valueOf = ({ key, format }: Pick<SessionRecord, 'key' | 'format'>, name: string, stored: StoredValue | undefined): StoredValue | undefined =>
    stored === undefined ? undefined : toIndexKey(Form.of({ key, format }, settings).read(name, stored))
  return {
    names,
    attributesOf (record) {
      const attributes: Record<string, StoredValue> = {}
      for (const name of names) {
        const value = unlessUnreadable(() => valueOf(record, name, record.data.get(name)))
        if (value !== undefined && value !== UNREADABLE) attributes[name] = value
      }
      return attributes
    },
    changesOf (change) {
      return names.map(name => changeOf(change, name, stored => valueOf(change.base, name, stored))).filter(found => found !== undefined)
    },
    withoutValues: { names, attributesOf: () => ({}), changesOf: removals, get withoutValues () { return this } }
  }

  function removals (change: Parameters<Indexing['changesOf']>[0]): IndexChange[] {
    return names.filter(name => isChanged(change, name)).map(name => ({ name, value: undefined }))
  }
}

type Change = Pick<RecordChange, 'base' | 'set' | 'delete'>

function isChanged ({ set, delete: deleted }: Change, name: string): boolean {
  return set.has(name) || deleted.includes(name)
}

function changeOf (change: Change, name: string, valueOf: (stored: StoredValue | undefined) => StoredValue | undefined): IndexChange | undefined {
  const { base, set } = change
  if (isChanged(change, name)) {
    const value = unlessUnreadable(() => valueOf(set.get(name)))
    return { name, value: value === UNREADABLE ? undefined : value }
  }
  if (base.index === undefined) return undefined
  const stored = base.data.get(name)
  // Not every engine compares lists and maps.
  if (stored?.L !== undefined || stored?.M !== undefined) return undefined
  const value = unlessUnreadable(() => valueOf(stored))
  if (value === UNREADABLE || isSameKey(base.index.get(name), value)) return undefined
  return { name, value, from: { stored } }
}

const UNREADABLE = Symbol('unreadable')

/** A value that cannot be read here, as under a key that is not configured, is left to whoever can. */
function unlessUnreadable<T> (read: () => T): T | typeof UNREADABLE {
  try {
    return read()
  } catch {
    return UNREADABLE
  }
}

/** A value as DynamoDB takes it for the key of an index; undefined for what it does not, which the index then leaves out. */
export function toIndexKey (value: unknown): StoredValue | undefined {
  if (value instanceof Uint8Array) return hasKeyLength(value.length) ? { B: value } : undefined
  switch (typeof value) {
    case 'string': return hasKeyLength(Buffer.byteLength(value)) && value.isWellFormed() ? { S: value } : undefined
    case 'number': return isStorable(Math.abs(value)) ? { N: String(value) } : undefined
    // Those that a format carries have 38 digits at most, as DynamoDB's numbers.
    case 'bigint': return value > -(10n ** 38n) && value < 10n ** 38n ? { N: String(value) } : undefined
    default: return undefined
  }
}

function hasKeyLength (bytes: number): boolean {
  return bytes > 0 && bytes <= LONGEST_INDEX_KEY
}

function isStorable (size: number): boolean {
  return size === 0 || (size >= SMALLEST_NUMBER && size <= GREATEST_NUMBER)
}

/** Whether two attributes are the same index key. DynamoDB writes numbers its own way. */
function isSameKey (a: StoredValue | undefined, b: StoredValue | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  if (a.N !== undefined && b.N !== undefined) return INTEGER.test(a.N) && INTEGER.test(b.N) ? a.N === b.N : Number(a.N) === Number(b.N)
  if (a.B !== undefined && b.B !== undefined) return Buffer.compare(a.B, b.B) === 0
  return a.S !== undefined && a.S === b.S
}
