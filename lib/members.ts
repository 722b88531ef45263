import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { errors } from './errors.js'
import { nativeFormat } from './native.js'

/** The members of a session of another store; undefined for what is broken or no object. No member is named `__proto__`. */
export type Members = ReadonlyMap<string, unknown> | undefined

/** An object as JSON text. */
export function membersOfJson (text: string): Members {
  try {
    return membersOf(JSON.parse(text, keepProtoOut))
  } catch (error) {
    // Its writer could read it: it is too deep for us, and not broken.
    if (error instanceof RangeError) throw new errors.NotImportable('one of its values is nested too deeply')
    return undefined
  }
}

/** An object as a map of DynamoDB's. */
export function membersOfMap (map: Readonly<Record<string, AttributeValue>>): Members {
  try {
    return membersOf(withoutProto(nativeFormat.decode({ M: { ...map } })))
  } catch {
    throw new errors.NotImportable('one of its values holds a number that JavaScript has not')
  }
}

/** A number that is stored as such, or as text; undefined where there is none. */
export function numberIn (value: AttributeValue | undefined): number | undefined {
  const text = value?.N ?? value?.S ?? ''
  const number = Number(text)
  return text.trim() !== '' && Number.isFinite(number) ? number : undefined
}

/** The old applications could not see such a member, and whoever copies objects by assigning would set a prototype with it. */
function keepProtoOut (key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}

function withoutProto (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutProto)
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  const members = Object.entries(value).filter(([name]) => name !== '__proto__')
  return Object.fromEntries(members.map(([name, member]) => [name, withoutProto(member)]))
}

function membersOf (value: unknown): Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? new Map(Object.entries(value)) : undefined
}
