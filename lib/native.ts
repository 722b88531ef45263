import { convertToNative } from '@aws-sdk/util-dynamodb'
import type { StoredValue } from '../types/repository.js'
import type { Format } from './codec.js'
import { fromAttributeName, toAttributeName } from './names.js'
import { classOf, isPlainObject, refuse } from './plain.js'

/**
 * Maps and lists within each other. DynamoDB takes 32 levels: the map of the session's keys is the first, and what the
 * innermost map or list holds is the last.
 */
const MAX_DEPTH = 30

/** Bytes of a name: DynamoDB's limit of 64 KB. */
const LONGEST_NAME = 65_535

const GREATEST_BIG_INTEGER = 10n ** 38n
const SMALLEST_NUMBER = 1e-130

/**
 * DynamoDB values: queryable, and bytes, sets and big integers survive. Maps and lists are walked here, because the
 * SDK's converter takes members named `constructor` for types. Bytes are copied both ways: they may be changed in place.
 */
export const nativeFormat: Format = {
  name: 'native',
  encode: value => encode(value, 1),
  decode
}

function encode (value: unknown, depth: number): StoredValue {
  if (typeof value !== 'object' || value === null) return encodeScalar(value)
  if (Object.getPrototypeOf(value) === Set.prototype) return encodeSet(value as Set<unknown>)
  const isList = Array.isArray(value)
  if (!isList && !isPlainObject(value)) return encodeScalar(value)
  if (depth > MAX_DEPTH) refuse(`more than ${MAX_DEPTH} levels`, 'store it flatter')
  return isList ? { L: Array.from(value, member => encode(member, depth + 1)) } : encodeMap(value, depth)
}

function encodeMap (value: Record<string, unknown>, depth: number): StoredValue {
  const members: Record<string, StoredValue> = Object.create(null) as Record<string, StoredValue>
  for (const [name, member] of Object.entries(value)) {
    assertName(name)
    if (member !== undefined) members[toAttributeName(name)] = encode(member, depth + 1)
  }
  return { M: members }
}

/** DynamoDB Local refuses an empty name; dynalite takes it. */
function assertName (name: string): void {
  if (name === '') refuse('an empty member name', 'give it a name')
  if (!name.isWellFormed()) refuse('a member name with half a surrogate pair', 'use format "json"')
  if (Buffer.byteLength(toAttributeName(name)) > LONGEST_NAME) refuse(`a member name over ${LONGEST_NAME} bytes`, 'give it a shorter name')
}

function encodeScalar (value: unknown): StoredValue {
  if (value instanceof Uint8Array) return { B: new Uint8Array(value) }
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
  if (!Number.isFinite(value)) refuse('a number that is not finite', 'store null or a text')
  // Read back, a number beyond the safe integers would be a bigint, or another number.
  if (size > Number.MAX_SAFE_INTEGER) refuse('a number beyond the safe integers', 'store a bigint or a text')
  if (size !== 0 && size < SMALLEST_NUMBER) refuse('a number nearer to zero than 1e-130', 'store a text')
  return { N: String(value) }
}

function encodeBigInteger (value: bigint): StoredValue {
  const size = value < 0n ? -value : value
  if (size <= Number.MAX_SAFE_INTEGER) refuse('a bigint that would be read back as a number', 'store a number')
  if (size >= GREATEST_BIG_INTEGER) refuse('a bigint of more than 38 digits', 'store a text')
  return { N: String(value) }
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
  if (kind === 'S') return { SS: members.map(({ S }) => S as string) }
  if (kind === 'N') return { NS: members.map(({ N }) => N as string) }
  return { BS: members.map(({ B }) => B as Uint8Array) }
}

function decode (stored: StoredValue): unknown {
  if (stored.L !== undefined) return stored.L.map(decode)
  if (stored.B !== undefined) return new Uint8Array(stored.B)
  if (stored.BS !== undefined) return new Set(stored.BS.map(bytes => new Uint8Array(bytes)))
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
