import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { isKey, type Item, type Layout } from '../lib/item.js'
import { misuse } from './fault.js'

/** What stands before the hash in the key of the list of a user's sessions. */
const USER = 'user#'

/** Of a key of bytes, which is SHA-256 itself. */
const KEY_BYTES = 32

/** Whose an item is, by its key: a session of this application, the list of a user's sessions, or something else. */
export type Kind = 'session' | 'user' | 'other'

export function kindOf (item: Readonly<Item>, { partitionKey: { name, type }, keyPrefix }: Layout): Kind {
  const { S: text = '', B: bytes = new Uint8Array() } = item[name] ?? {}
  if (type === 'B') return kindOfBytes(Buffer.from(bytes))
  const key = text.startsWith(keyPrefix) ? text.slice(keyPrefix.length) : ''
  if (isKey(key as unknown)) return 'session'
  return key.startsWith(USER) && isKey(key.slice(USER.length)) ? 'user' : 'other'
}

function kindOfBytes (bytes: Buffer): Kind {
  if (bytes.length === KEY_BYTES) return 'session'
  return bytes.length === USER.length + KEY_BYTES && bytes.subarray(0, USER.length).toString() === USER ? 'user' : 'other'
}

/** The key attribute of an item. */
export function keyOf (item: Readonly<Item>, { partitionKey }: Layout): AttributeValue {
  return item[partitionKey.name] as AttributeValue
}

/**
 * The loggable id that was given. What is no such is refused without being repeated: it may be the session's secret id or its
 * token, pasted by mistake.
 */
export function loggableId (text: string): string {
  if (isKey(text)) return text
  throw misuse('The loggable id must be 43 letters, digits, - and _, as `session.loggableId` and the log have it: neither the id nor the token of a session, nor with the key prefix.')
}

/** Said where nothing is found, since a secret id looks like a loggable one. */
export const NOT_FOUND = 'There is no session with this loggable id and key prefix. The id and the token of a session are something else than its loggable id.'
