import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { errors } from './errors.js'

/** What DynamoDB takes at most, in bytes (Service quotas: 400 KB). */
export const LARGEST_ITEM = 409_600

const NUMBER = /^([+-]?)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i

/** Bytes of an item by DynamoDB's rules: names and values, with the overhead of lists and maps. */
export function sizeOfItem (item: Readonly<Record<string, AttributeValue>>): number {
  let bytes = 0
  for (const [name, value] of Object.entries(item)) bytes += Buffer.byteLength(name) + sizeOfValue(value)
  return bytes
}

/**
 * Bytes of one value (Developer guide, "Item sizes and formats"): 3 for a list or a map and 1 for each element, 1 for null
 * and booleans, and for a number about half its significant digits. Measured on DynamoDB Local, to the byte.
 */
export function sizeOfValue (value: AttributeValue): number {
  if (value.S !== undefined) return Buffer.byteLength(value.S)
  if (value.N !== undefined) return sizeOfNumber(value.N)
  if (value.B !== undefined) return value.B.length
  if (value.M !== undefined) return 3 + Object.keys(value.M).length + sizeOfItem(value.M)
  if (value.L !== undefined) return 3 + sum(value.L, element => 1 + sizeOfValue(element))
  if (value.SS !== undefined) return sum(value.SS, text => Buffer.byteLength(text))
  if (value.NS !== undefined) return sum(value.NS, sizeOfNumber)
  if (value.BS !== undefined) return sum(value.BS, bytes => bytes.length)
  return 1
}

/** Two digits a byte, counted from the decimal point: 12 and 0.12 take one byte for their digits, and 1.2 takes two. */
function sizeOfNumber (text: string): number {
  const [, sign, whole = '', fraction = '', exponent = '0'] = NUMBER.exec(text) ?? []
  const digits = whole + fraction
  const significant = digits.replace(/^0+/, '')
  const beforePoint = whole.length + Number(exponent) - (digits.length - significant.length)
  const length = significant.replace(/0+$/, '').length
  if (length === 0) return 1
  return Math.ceil((length + Math.abs(beforePoint % 2)) / 2) + 1 + (sign === '-' ? 1 : 0)
}

/** Bytes of an item for which one capacity unit pays a strongly consistent read, and half a unit one that is not. */
const READ_UNIT = 4096

/** Capacity units for reading an item, or for finding that there is none. Not of a batch: each of its items is charged by itself. */
export function unitsOfRead (item: Readonly<Record<string, AttributeValue>> | undefined, consistent: boolean): number {
  const units = item === undefined ? 1 : Math.ceil(sizeOfItem(item) / READ_UNIT)
  return consistent ? units : units / 2
}

function sum<T> (elements: readonly T[], size: (element: T) => number): number {
  return elements.reduce((bytes, element) => bytes + size(element), 0)
}

/** Refuses an item that is too large, and names the keys that are worth a look. */
export function assertFits (
  item: Readonly<Record<string, AttributeValue>>, data: ReadonlyMap<string, AttributeValue>, limit: number
): void {
  const bytes = sizeOfItem(item)
  if (bytes > limit) throw new errors.TooLarge(bytes, limit, largestKeys(data))
}

function largestKeys (data: ReadonlyMap<string, AttributeValue>): string {
  return [...data]
    .map(([key, value]) => ({ key, bytes: sizeOfValue(value) }))
    .sort((a, b) => b.bytes - a.bytes)
    .slice(0, 3)
    .map(({ key, bytes }) => `"${key}" (${bytes})`)
    .join(', ')
}
