import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import type { DynamoSessionOptions } from '../../index.js'
import { createEnvelope } from '../../lib/envelope.js'
import { fromAttributeName } from '../../lib/names.js'
import { Sealer, type Place } from '../../lib/seal.js'
import type { StoredValue } from '../../types/repository.js'

type Item = Record<string, AttributeValue>

const KEY = new Uint8Array(32).fill(7)

/** With `SEALED=1` every stage seals its values, so that the same tests hold with and without. */
export const SEALING = process.env['SEALED'] === '1' ? { encryptionKeys: KEY } : {}

/** What opens the items of a stage that is sealed by `SEALED=1`, for a test that knows nothing of it, and seals those that it makes. */
interface Lid {
  readonly open: (item: Item) => Item
  readonly seal: (item: Item) => Item
}

export function lidOf (session: Partial<DynamoSessionOptions> = {}): Lid {
  const { keyPrefix = '', now = Date.now } = session
  if (!('encryptionKeys' in SEALING) || 'encryptionKeys' in session) return { open: item => item, seal: item => item }
  const envelope = createEnvelope({ sealer: new Sealer([KEY], keyPrefix), compress: false, acceptPlainUntil: 0, now })
  const mapped = (item: Item, change: (value: StoredValue, place: Place) => StoredValue): Item => {
    const { id, data, fmt } = item
    if (id?.S === undefined || data?.M === undefined) return item
    const key = id.S.slice(keyPrefix.length)
    const values = Object.entries(data.M).map(([name, value]) => [name, change(value as StoredValue, { key, name: fromAttributeName(name), format: fmt?.S })])
    return { ...item, data: { M: Object.fromEntries(values) as Item } }
  }
  return {
    open: item => mapped(item, (value, place) => isSealed(value) ? envelope.unwrap(value, place) : value),
    seal: item => mapped(item, (value, place) => isSealed(value) ? value : envelope.wrap(value, place))
  }
}

/** The same of an item on its way, in which bytes are base64. */
export function openInput (input: Record<string, any>, { open }: Lid): Record<string, any> {
  const values = input['Item']?.data?.M as Record<string, { B?: string }> | undefined
  if (values === undefined || !('encryptionKeys' in SEALING)) return input
  const M = Object.fromEntries(Object.entries(values).map(([name, value]) =>
    [name, value.B === undefined ? value : { B: Buffer.from(value.B, 'base64') }])) as Item
  return { ...input, Item: open({ ...input['Item'], data: { M } }) }
}

/** Bytes that begin as a sealed value does, and have its mark. */
export function isSealed ({ B: bytes }: AttributeValue): boolean {
  return bytes !== undefined && Buffer.from(bytes.subarray(0, 4)).toString('hex') === 'fd535601' && ((bytes[4] ?? 0) & 0b1000) !== 0
}
