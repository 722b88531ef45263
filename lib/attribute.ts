import type { StoredValue } from '../types/repository.js'

/**
 * An attribute as text and back: DynamoDB's own JSON, in which bytes are base64. For values that are stored as bytes.
 */
export function toAttributeText (value: StoredValue): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, name, given: unknown) {
    // Not what is given: a Buffer has become an object of another kind by then.
    const member = this[name]
    return member instanceof Uint8Array ? Buffer.from(member).toString('base64') : given
  })
}

export function fromAttributeText (text: string): StoredValue {
  return revive(JSON.parse(text))
}

function revive (value: unknown): StoredValue {
  if (typeof value !== 'object' || value === null) throw new TypeError('no attribute')
  const stored = value as StoredValue
  if (stored.B !== undefined) return { B: toBytes(stored.B) }
  if (stored.BS !== undefined) return { BS: stored.BS.map(toBytes) }
  if (stored.L !== undefined) return { L: stored.L.map(revive) }
  if (stored.M === undefined) return stored
  return { M: Object.fromEntries(Object.entries(stored.M).map(([name, member]) => [name, revive(member)])) }
}

function toBytes (text: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(String(text), 'base64'))
}
