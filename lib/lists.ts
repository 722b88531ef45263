import { GetItemCommand, PutItemCommand, UpdateItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { UserChange, UserEntry, UserLists, UserRecord } from '../types/repository.js'
import type { Calls } from './calls.js'
import { Deadline } from './deadline.js'
import { errors } from './errors.js'
import type { Item, Layout } from './item.js'
import {
  addCommand, amendCommand, beginCommand, fromUserItem, keepCommand, loadCommand, rewriteCommand, staysLongEnough, toUserItem
} from './listing.js'
import { LARGEST_ITEM, sizeOfItem } from './size.js'
import { stoppable } from './stop.js'

/** Attempts at an entry in a list that others begin, or that TTL takes away, at the same time. */
const ATTEMPTS = 3

type Update = ReturnType<typeof amendCommand>

/** The lists of users' sessions in the table of the sessions, one item for each user. */
export class Lists implements UserLists {
  readonly #client: DynamoDBClient
  readonly #calls: Calls
  readonly #settings: { readonly layout: Layout, readonly timeout: number }

  constructor (client: DynamoDBClient, calls: Calls, settings: { readonly layout: Layout, readonly timeout: number }) {
    this.#client = client
    this.#calls = calls
    this.#settings = settings
  }

  async load (user: string): Promise<UserRecord | null> {
    return fromUserItem(await this.#read(user, this.#deadline()))
  }

  async add (user: string, key: string, entry: UserEntry, from?: string): Promise<UserRecord | null> {
    const { layout } = this.#settings
    const deadline = this.#deadline()
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const listed = await this.#update(addCommand(user, key, entry, from, layout), deadline)
        .catch(async (error: Error) => await this.#explainRefusal(error, user, [key, entry, from], deadline))
      const item = listed?.Attributes ?? (from === undefined ? await this.#begin(user, key, entry, deadline) : undefined)
      const record = fromUserItem(item)
      if (from !== undefined && record === null) return null
      if (record !== null && item !== undefined && await this.#keep(user, key, item, deadline)) return record
    }
    return null
  }

  async amend (user: string, change: UserChange): Promise<boolean> {
    const deadline = this.#deadline()
    const answer = await this.#update(amendCommand(user, change, this.#settings.layout), deadline)
    if (answer?.Attributes === undefined) return false
    if (change.renew !== undefined) await this.#keep(user, change.renew.key, answer.Attributes, deadline)
    return true
  }

  async rewrite (user: string, lists: Pick<UserRecord, 'sessions' | 'revoking'>, version: number): Promise<boolean> {
    return await this.#update(rewriteCommand(user, lists, version, this.#settings.layout), this.#deadline()) !== undefined
  }

  #deadline (): Deadline {
    return new Deadline(this.#settings.timeout)
  }

  async #read (user: string, deadline: Deadline): Promise<Item | undefined> {
    const input = loadCommand(user, this.#settings.layout)
    const answer = await this.#calls.send('list', { action: 'GetItem', consistent: true }, deadline,
      stop => this.#client.send(new GetItemCommand(input), stoppable(this.#client, input, stop)),
      answer => answer.Item)
    return answer?.Item
  }

  /** The item of a user who had none; undefined where there is one by now. */
  async #begin (user: string, key: string, entry: UserEntry, deadline: Deadline): Promise<Item | undefined> {
    const input = beginCommand(user, key, entry, this.#settings.layout)
    const answer = await this.#calls.send('bind', { action: 'PutItem', consistent: true }, deadline,
      stop => this.#client.send(new PutItemCommand(input), stoppable(this.#client, input, stop)),
      () => input.Item)
    return answer === undefined ? undefined : input.Item
  }

  /** Sees to it that TTL leaves the list for longer than its sessions. False where it has been taken away meanwhile. */
  async #keep (user: string, key: string, item: Item, deadline: Deadline): Promise<boolean> {
    const { layout } = this.#settings
    return staysLongEnough(item, layout) || await this.#update(keepCommand(user, key, item, layout), deadline) !== undefined
  }

  async #update (input: Update, deadline: Deadline) {
    return await this.#calls.send('bind', { action: 'UpdateItem', consistent: true }, deadline,
      stop => this.#client.send(new UpdateItemCommand(input), stoppable(this.#client, input, stop)))
  }

  /** A list that would grow beyond an item is refused by DynamoDB's validation, which has many reasons and one name. */
  async #explainRefusal (error: Error, user: string, [key, entry, from = '']: [string, UserEntry, string | undefined], deadline: Deadline): Promise<never> {
    const { cause } = error
    const record = cause instanceof Error && cause.name === 'ValidationException' ? fromUserItem(await this.#read(user, deadline)) : null
    if (record === null) throw error
    const listed = { ...entry, label: entry.label ?? record.sessions.get(from)?.label }
    const grown = toUserItem(user, { ...record, sessions: new Map([...record.sessions, [key, listed]]) }, this.#settings.layout)
    throw sizeOfItem(grown) > LARGEST_ITEM ? new errors.UserFull() : error
  }
}
