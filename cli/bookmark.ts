import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isObject } from '../lib/checks.js'
import type { Item, Layout } from '../lib/item.js'
import { tableName } from '../lib/names.js'
import { objectIn } from './document.js'
import { CommandFault } from './fault.js'
import { keyOf } from './keys.js'

/**
 * Where a long work stands, kept in a file, so that it goes on where it ended. The key in it is a hash, which says nothing, unless
 * the table is one of others, who have ids in their keys: so only the owner may read the file.
 */
export class Bookmark {
  readonly #path: string | undefined
  readonly #layout: Layout
  readonly #more: Readonly<Record<string, string>>

  /** `more`: what else a work must have in common with the one that it goes on with. */
  constructor (path: string | undefined, layout: Layout, more: Readonly<Record<string, string>>) {
    this.#path = path
    this.#layout = layout
    this.#more = more
  }

  /** The key after which to go on; undefined where the work begins. */
  read (): Item | undefined {
    const text = this.#path === undefined ? undefined : contentOf(this.#path)
    return text === undefined ? undefined : this.#keyIn(text)
  }

  /** Written beside and then moved, so that half a file is never found. */
  write (from: Item): void {
    if (this.#path === undefined) return
    const { S: text, B: bytes } = keyOf(from, this.#layout)
    const key = bytes === undefined ? { S: text } : { B: Buffer.from(bytes).toString('base64') }
    try {
      writeFileSync(`${this.#path}.new`, JSON.stringify({ ...this.#place(), key }), { mode: 0o600 })
      renameSync(`${this.#path}.new`, this.#path)
    } catch (cause) {
      throw new CommandFault('FST_DYNAMODB_SESSION_STATE', 'The file of --state cannot be written. Give a path in a folder that may be written to.', { cause })
    }
  }

  remove (): void {
    if (this.#path !== undefined) rmSync(this.#path, { force: true })
  }

  #place (): Record<string, string> {
    const { table, keyPrefix, partitionKey } = this.#layout
    return { table: tableName(table), prefix: keyPrefix, partitionKey: partitionKey.name, ...this.#more }
  }

  #keyIn (text: string): Item {
    const { key, ...place } = parsed(text)
    if (JSON.stringify(place) !== JSON.stringify(this.#place())) throw notOurs('is of another table, region or prefix')
    const { S, B } = isObject(key) ? key : {}
    const { name, type } = this.#layout.partitionKey
    const value = type === 'B' ? B : S
    if (typeof value !== 'string' || value === '') throw notOurs('is damaged')
    return { [name]: type === 'B' ? { B: Buffer.from(value, 'base64') } : { S: value } }
  }
}

function contentOf (path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new CommandFault('FST_DYNAMODB_SESSION_STATE', 'The file of --state cannot be read. Give the path of a file, or of one that is yet to be made.', { cause })
  }
}

function parsed (text: string): Record<string, unknown> {
  const value = objectIn(text)
  if (value === undefined) throw notOurs('is damaged')
  return value
}

function notOurs (fact: string): CommandFault {
  return new CommandFault('FST_DYNAMODB_SESSION_STATE', `The file of --state ${fact}. Give another path, or delete the file to begin anew.`)
}
