import { inspect } from 'node:util'
import { Form } from '../lib/form.js'
import { fromItem, fromUser, NO_SUCCESSOR, type Item } from '../lib/item.js'
import { sizeOfItem, sizeOfValue } from '../lib/size.js'
import type { SessionRecord, StoredValue } from '../types/repository.js'
import { OUTPUT_FLAGS, TABLE_FLAGS, type Command, type Context } from './command.js'
import { CommandFault, FINE } from './fault.js'
import { loggableId, NOT_FOUND } from './keys.js'
import { bytesText, columns, count, instantText, quote, type Output } from './output.js'
import { Remote } from './remote.js'
import { KEY_FLAGS, readKeys } from './secrets.js'
import { reasonOf } from './reason.js'

export const show: Command = {
  name: 'show',
  summary: 'Shows one session: its instants, version, keys and sizes, and no values unless asked.',
  about: [
    'One strongly consistent read. The loggable id is `session.loggableId`, as it stands in the log.',
    'With --values, sealed ones are opened with the encryption keys from the environment or a file; those of a codec of the',
    'application\'s own cannot be read here.'
  ],
  positionals: ['loggable id'],
  flags: {
    values: { type: 'boolean', help: 'Print the values, too. They may be secrets of the visitor.' },
    ...KEY_FLAGS,
    ...TABLE_FLAGS,
    ...OUTPUT_FLAGS
  },
  run: async context => {
    const { given, output, io } = context
    const key = loggableId(given.positionals[0] as string)
    const keys = given.has('values') ? readKeys(context) : []
    return await Remote.use(context, async remote => {
      const item = await remote.item(key)
      if (item === undefined) throw new CommandFault('FST_DYNAMODB_SESSION_NOT_FOUND', NOT_FOUND)
      const seen = lookAt(item, key, remote, { now: io.now() / 1000, hasValues: given.has('values') })
      if (given.has('json')) output.printJson(seen, asJson)
      else tell(seen, output)
      return FINE
    }, optionsFor(keys, context))
  }
}

/** Plain values are shown beside sealed ones, each marked as what it is. */
function optionsFor (keys: readonly Uint8Array[], { io }: Context): object {
  return keys.length === 0 ? {} : { encryptionKeys: keys, acceptPlainUntil: new Date(io.now() + 86_400_000) }
}

interface ShownKey {
  readonly key: string
  readonly bytes: number
  /** How it is stored: text, bytes (sealed, compressed or a codec's), or a native value. */
  readonly stored: string
  readonly value?: unknown
  readonly unreadable?: string
}

interface Shown {
  readonly loggableId: string
  readonly state: string
  readonly bytes: number
  readonly createdAt?: number
  readonly lastSeenAt?: number
  readonly expiresAt?: number
  readonly idleTimeout?: number | false
  readonly absoluteTimeout?: number | false
  readonly version?: number
  readonly format?: string
  readonly bound: boolean
  readonly keys: readonly ShownKey[]
}

interface Wish { readonly now: number, readonly hasValues: boolean }

function lookAt (item: Item, key: string, { settings }: Remote, wish: Wish): Shown {
  const record = fromItem(item, key, settings.layout)
  const facts = { loggableId: key, bytes: sizeOfItem(item), bound: fromUser(item) !== undefined }
  if (record === null) return { ...facts, state: 'a ghost: it lacks what a session needs and counts as absent', keys: [] }
  const form = Form.of(record, settings)
  const { createdAt, lastSeenAt, expiresAt, version, idleTimeout, absoluteTimeout } = record
  return {
    ...facts,
    state: stateOf(record, wish.now),
    createdAt,
    lastSeenAt,
    expiresAt,
    ...idleTimeout !== undefined && { idleTimeout },
    ...absoluteTimeout !== undefined && { absoluteTimeout },
    version,
    format: record.format ?? 'json',
    keys: [...record.data].map(([name, stored]) => ({ key: name, bytes: sizeOfValue(stored), stored: kindOf(stored), ...wish.hasValues && valueOf(form, name, stored) }))
  }
}

/** By the record: an application whose timeouts are shorter now counts it as dead earlier. */
function stateOf ({ next, expiresAt }: SessionRecord, now: number): string {
  if (next === NO_SUCCESSOR) return 'revoked'
  if (next !== undefined) return `replaced by ${next}`
  return expiresAt <= now ? 'expired' : 'alive'
}

const KINDS: Readonly<Record<string, string>> = { S: 'text', N: 'number', B: 'bytes', BOOL: 'boolean', NULL: 'null', L: 'list', M: 'map', SS: 'set', NS: 'set', BS: 'set' }

function kindOf (stored: StoredValue): string {
  return Object.entries(KINDS).filter(([type]) => Reflect.get(stored, type) !== undefined).map(([, kind]) => kind).join()
}

function valueOf (form: Form, name: string, stored: StoredValue): Pick<ShownKey, 'value' | 'unreadable'> {
  try {
    return { value: form.read(name, stored) }
  } catch (error) {
    // One value that cannot be read does not hide the others.
    return { unreadable: reasonOf(error) }
  }
}

/** Of the values that JSON does not know, the native format has these: big integers, sets and bytes. */
function asJson (_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Set) return [...value]
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}

function tell (shown: Shown, output: Output): void {
  const facts: Array<readonly [string, string]> = [['state', shown.state]]
  for (const [name, seconds] of [['created', shown.createdAt], ['last seen', shown.lastSeenAt], ['expires', shown.expiresAt]] as const) {
    if (seconds !== undefined) facts.push([name, instantText(seconds)])
  }
  for (const [name, timeout] of [['own idle timeout', shown.idleTimeout], ['own absolute timeout', shown.absoluteTimeout]] as const) {
    if (timeout !== undefined) facts.push([name, timeout === false ? 'none' : `${timeout} s`])
  }
  if (shown.version !== undefined) facts.push(['version', String(shown.version)])
  if (shown.format !== undefined) facts.push(['format', quote(shown.format).slice(1, -1)])
  facts.push(['bound to a user', shown.bound ? 'yes' : 'no'], ['size', bytesText(shown.bytes)], ['keys', count(shown.keys.length, 'key')])
  for (const line of columns(facts, ['left', 'left'])) output.print(line)
  const rows = shown.keys.map(key => [quote(key.key), key.stored, bytesText(key.bytes), valueText(key)])
  if (rows.length > 0) for (const line of columns(rows, ['left', 'left', 'right', 'left'])) output.print(`  ${line}`)
}

function valueText (key: ShownKey): string {
  if (key.unreadable !== undefined) return key.unreadable
  if (!('value' in key)) return ''
  // Quoted, because a visitor may have chosen what stands there; inspected, because the native format has more kinds than JSON.
  return typeof key.value === 'string' ? quote(key.value) : quote(inspect(key.value, { depth: null, breakLength: Infinity, maxStringLength: null, maxArrayLength: null })).slice(1, -1).replaceAll('\\"', '"')
}
