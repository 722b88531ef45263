import { convertToAttr, convertToNative } from '@aws-sdk/util-dynamodb'
import type { StoredValue } from '../types/repository.js'
import type { Format } from './codec.js'
import { fromAttributeName, toAttributeName } from './names.js'
import { classOf, isPlainObject, refuse } from './plain.js'

/** DynamoDB takes 32 levels, of which the item's own map and the session's take two. */
const MAX_DEPTH = 30

const GREATEST_BIG_INTEGER = 10n ** 38n
const SMALLEST_NUMBER = 1e-130

/**
 * DynamoDB values: queryable, and bytes, sets and big integers survive. Maps and lists are walked here, because the
 * SDK's converter takes members named `constructor` for types; scalars and sets are the converter's.
 */
export const nativeFormat: Format = {
  name: 'native',
  encode: value => encode(value, 1),
  decode
}

function encode (value: unknown, depth: number): StoredValue {
  if (depth > MAX_DEPTH) refuse('more than 30 levels', 'store it flatter')
  if (Array.isArray(value)) return { L: Array.from(value, member => encode(member, depth + 1)) }
  if (typeof value === 'object' && value !== null && isPlainObject(value)) return encodeMap(value, depth)
  if (value instanceof Set) return encodeSet(value)
  return encodeScalar(value)
}

function encodeMap (value: Record<string, unknown>, depth: number): StoredValue {
  const members: Record<string, StoredValue> = Object.create(null) as Record<string, StoredValue>
  for (const [name, member] of Object.entries(value)) {
    if (name === '') refuse('an empty member name', 'give it a name')
    if (member !== undefined) members[toAttributeName(name)] = encode(member, depth + 1)
  }
  return { M: members }
}

function encodeScalar (value: unknown): StoredValue {
  if (value instanceof Uint8Array) return { B: Uint8Array.from(value) }
  switch (typeof value) {
    case 'string':
      if (!value.isWellFormed()) refuse('text with half a surrogate pair', 'use format "json"')
      return { S: value }
    case 'number': return encodeNumber(value)
    case 'bigint': return encodeBigInteger(value)
    case 'boolean': return { BOOL: value }
    case 'undefined': return refuse('undefined in an array', 'store null')
    case 'object':
      if (value === null) return { NULL: true }
      return refuse(`an instance of ${classOf(value)}`, 'store plain data')
    default: return refuse(`a ${typeof value}`, 'store plain data')
  }
}

function encodeNumber (value: number): StoredValue {
  const size = Math.abs(value)
  // Read back, a number beyond the safe integers would be a bigint, or another number.
  if (!(size <= Number.MAX_SAFE_INTEGER)) refuse('a number beyond the safe integers', 'store a bigint or a text')
  if (size !== 0 && size < SMALLEST_NUMBER) refuse('a number nearer to zero than 1e-130', 'store a text')
  return convertToAttr(value)
}

function encodeBigInteger (value: bigint): StoredValue {
  const size = value < 0n ? -value : value
  if (size <= Number.MAX_SAFE_INTEGER) refuse('a bigint that would be read back as a number', 'store a number')
  if (size >= GREATEST_BIG_INTEGER) refuse('a bigint of more than 38 digits', 'store a text')
  return convertToAttr(value)
}

function encodeSet (value: Set<unknown>): StoredValue {
  const members = [...value].map(encodeScalar)
  const kinds = new Set(members.map(member => Object.keys(member)[0]))
  const [kind] = kinds
  if (kinds.size !== 1 || (kind !== 'S' && kind !== 'N' && kind !== 'B')) {
    refuse('a set that is empty or not all of texts, of numbers or of bytes', 'store an array')
  }
  if (new Set(members.map(member => String(member[kind as 'S']))).size !== members.length) {
    refuse('a set with the same bytes twice', 'store an array')
  }
  return convertToAttr(value)
}

function decode (stored: StoredValue): unknown {
  if (stored.L !== undefined) return stored.L.map(decode)
  if (stored.M === undefined) return convertToNative(stored)
  const value = {}
  for (const [attribute, member] of Object.entries(stored.M)) {
    // Defined, not assigned: a member named __proto__ stays a member.
    Object.defineProperty(value, fromAttributeName(attribute), {
      value: decode(member), configurable: true, enumerable: true, writable: true
    })
  }
  return value
}
