import { sizeOfItem } from '../lib/size.js'

/** A value as it goes over the wire, and an item of such values. */
export type WireValue = Readonly<Record<string, unknown>>
export type WireItem = Readonly<Record<string, WireValue>>

/** What is stored, ready to be sent: text is not made again for each read. */
export interface Stored {
  readonly item: WireItem
  readonly text: string
  /** By DynamoDB's rules of size. */
  readonly bytes: number
}

/** The key attribute of every table: whoever is measured here calls it so by default. */
const KEY = 'id'

/** The items of one table. */
export class StubTable {
  readonly #items = new Map<string, Stored>()

  get (key: WireItem): Stored | undefined {
    const found = this.#items.get(textOf(key))
    return found === undefined || textOf(found.item) === textOf(key) ? found : under(key, found)
  }

  /** Returns what was there before. */
  put (item: WireItem): Stored | undefined {
    const key = textOf(item)
    const before = this.#items.get(key)
    this.#items.set(key, stored(item))
    return before
  }

  delete (key: WireItem): Stored | undefined {
    const before = this.get(key)
    this.#items.delete(textOf(key))
    return before
  }

  all (): Stored[] {
    return [...this.#items.values()]
  }

  /** Stores an item that is there already under more keys, without a copy of it for each: a million sessions fit into memory. */
  fill (from: string, keys: Iterable<string>): void {
    const template = this.get({ [KEY]: { S: from } })
    if (template === undefined) throw new Error('There is no item to fill the table with')
    for (const key of keys) this.#items.set(JSON.stringify({ S: key }), template)
  }

  clear (): void {
    this.#items.clear()
  }
}

/** A copy under another key, made when it is asked for. A batch is matched by what its items say of themselves. */
function under (key: WireItem, { item, text, bytes }: Stored): Stored {
  return { item: { ...item, ...key }, text: text.replace(textOf(item), () => textOf(key)), bytes }
}

function textOf (item: WireItem): string {
  return JSON.stringify(item[KEY])
}

function stored (item: WireItem): Stored {
  const text = JSON.stringify(item)
  return { item, text, bytes: sizeOfItem(text.includes('"B":"') ? JSON.parse(text, decoded) : item) }
}

/** Bytes travel as base64, and count as they are. */
function decoded (name: string, value: unknown): unknown {
  return name === 'B' && typeof value === 'string' ? Buffer.from(value, 'base64') : value
}

interface Update {
  readonly UpdateExpression: string
  readonly ExpressionAttributeNames?: Readonly<Record<string, string>>
  readonly ExpressionAttributeValues?: Readonly<Record<string, WireValue>>
}

/** One clause of an update, such as `SET a=:v`. */
const CLAUSE = /(?:^|\s)(SET|REMOVE|ADD)\s/i

/**
 * The item after an update, and what the update put into it. Knows what the applications say: `SET path=:value`,
 * `REMOVE path` and `ADD path :number`.
 */
export function updated (item: WireItem, update: Update): { item: WireItem, changes: WireItem } {
  const names = update.ExpressionAttributeNames ?? {}
  const pathOf = (text: string): string[] => text.trim().split('.').map(name => names[name] ?? name)
  const valueOf = (text: string): WireValue => {
    const value = update.ExpressionAttributeValues?.[text.trim()]
    if (value === undefined) throw new Error(`The stub knows placeholders only, not ${text}`)
    return value
  }
  let after = item
  let changes: WireItem = {}
  const set = (path: string[], value: WireValue): void => {
    after = withValue(after, path, value)
    changes = withValue(changes, path, value)
  }
  const [, ...clauses] = update.UpdateExpression.split(CLAUSE)
  for (let index = 0; index < clauses.length; index += 2) {
    const keyword = String(clauses[index]).toUpperCase()
    for (const term of String(clauses[index + 1]).split(',')) {
      const [target = '', operand = ''] = term.trim().split(keyword === 'SET' ? '=' : /\s+/)
      const path = pathOf(target)
      if (keyword === 'SET') set(path, valueOf(operand))
      else if (keyword === 'ADD') set(path, { N: String(numberAt(after, path) + Number(valueOf(operand)['N'])) })
      else after = withValue(after, path, undefined)
    }
  }
  return { item: after, changes }
}

function numberAt (item: WireItem, [name = '']: string[]): number {
  return Number(item[name]?.['N'] ?? 0)
}

/** A copy with a value at a path, or without it. Only what lies on the path is copied: what is stored is never changed. */
function withValue (item: WireItem, [name = '', ...rest]: string[], value: WireValue | undefined): WireItem {
  const { [name]: present, ...others } = item
  if (rest.length > 0) return { ...item, [name]: { M: withValue((present?.['M'] ?? {}) as WireItem, rest, value) } }
  return value === undefined ? others : { ...others, [name]: value }
}
