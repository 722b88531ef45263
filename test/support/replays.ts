// The calls of three Python systems, as their sources make them, so that an engine tells what they take.
//
// pyramid-dynamodb-sessions 0.1.3, pyramid_dynamodb_sessions.py; dynamodb-session-web 0.2.9, dynamodb_session_web/_session.py;
// dynamodb-session-flask 1.1.3, dynamodb_session_flask/_session.py.
import { createHash, randomBytes } from 'node:crypto'
import {
  DeleteItemCommand, DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand, UpdateItemCommand, type AttributeValue
} from '@aws-sdk/client-dynamodb'
import type { Units, Visit } from '../../cli/bill.js'
import { sizeOfItem } from '../../lib/size.js'
import { clientConfig, createTable } from './engines.js'
import { DATA } from './peers.js'

type Item = Record<string, AttributeValue>
/** A call that was made, by the units that it took. */
type Sent = Promise<Units>

/** A system by its visits, all of them on the session that it has stored first. */
export interface Replay {
  readonly bytes: number
  readonly visits: Readonly<Record<Exclude<Visit, 'burst'>, () => Promise<Units>>>
}

/** JSON as Python writes it. */
function pythonJson (value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(pythonJson).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value).map(([key, member]) => `${JSON.stringify(key)}: ${pythonJson(member)}`).join(', ')}}`
}

const NOW = 1_767_323_045

/** Makes calls one after the other, and adds up what they took. */
async function all (...calls: Array<() => Sent>): Sent {
  let sum: Units = { calls: 0, read: 0, write: 0 }
  for (const call of calls) {
    const { calls, read, write } = await call()
    sum = { calls: sum.calls + calls, read: sum.read + read, write: sum.write + write }
  }
  return sum
}

interface Told { readonly ConsumedCapacity?: { readonly CapacityUnits?: number | undefined } | undefined }

const taken = ({ ConsumedCapacity: told }: Told): number => told?.CapacityUnits ?? NaN
const read = async (answer: Promise<Told>): Sent => ({ calls: 1, read: taken(await answer), write: 0 })
const wrote = async (answer: Promise<Told>): Sent => ({ calls: 1, read: 0, write: taken(await answer) })
const TOTAL = { ReturnConsumedCapacity: 'TOTAL' } as const

export async function replayPyramid (endpoint: string): Promise<Replay> {
  const TableName = await createTable({ endpoint }, { KeySchema: [{ AttributeName: 'sid', KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName: 'sid', AttributeType: 'B' }] })
  const client = new DynamoDBClient(clientConfig(endpoint))
  const known = randomBytes(32)
  const keyOf = (id: Uint8Array): Item => ({ sid: { B: createHash('sha256').update(id).digest() } })
  const itemOf = (id: Uint8Array, data: object): Item =>
    ({ ...keyOf(id), dat: { S: pythonJson(data) }, ver: { N: '1' }, iss: { N: String(NOW) }, exp: { N: String(NOW + 1200) } })
  const get = (id = known, ConsistentRead = false) => async () => await read(client.send(new GetItemCommand({ TableName, Key: keyOf(id), ConsistentRead, ...TOTAL })))
  const put = (data: object, id = known) => async () => await wrote(client.send(new PutItemCommand({
    TableName,
    Item: itemOf(id, data),
    ConditionExpression: id === known ? 'ver = :v OR attribute_not_exists(sid)' : 'attribute_not_exists(sid)',
    ...id === known && { ExpressionAttributeValues: { ':v': { N: '1' } } },
    ...TOTAL
  })))
  const reissue = async (): Sent => await wrote(client.send(new UpdateItemCommand({
    TableName,
    Key: keyOf(known),
    UpdateExpression: 'SET iss = :i, exp = :e',
    ExpressionAttributeValues: { ':i': { N: String(NOW + 121) }, ':e': { N: String(NOW + 1321) } },
    ...TOTAL
  })))
  const stranger = randomBytes(32)
  await put(DATA)()
  return {
    bytes: sizeOfItem(itemOf(known, DATA)),
    visits: {
      anonymous: async () => await all(),
      forged: async () => await all(get(stranger), get(stranger, true)),
      read: async () => await all(get()),
      renewal: async () => await all(get(), reissue),
      change: async () => await all(get(), put(DATA)),
      first: async () => await all(put(DATA, randomBytes(32))),
      login: async () => await all(get(), put(DATA)),
      // `invalidate()`: there is no delete.
      logout: async () => await all(get(), put({}))
    }
  }
}

/** The calls of dynamodb-session-web, by which dynamodb-session-flask keeps its sessions. */
async function web (endpoint: string) {
  const TableName = await createTable({ endpoint })
  const client = new DynamoDBClient(clientConfig(endpoint))
  const makeId = (): string => randomBytes(32).toString('base64url')
  const at = { S: '2026-01-02T03:04:05.678901+00:00' }
  const touched: Item = { accessed: at, created: at, expires: { N: String(NOW + 7200) } }
  const whole: Item = { ...touched, idle_timeout: { N: '7200' }, absolute_timeout: { N: '43200' }, data: { S: pythonJson(DATA) } }
  const query = (id: string) => async () => await read(client.send(new QueryCommand({
    TableName,
    KeyConditionExpression: 'id = :s',
    FilterExpression: 'expires > :n',
    ConsistentRead: true,
    ExpressionAttributeValues: { ':s': { S: id }, ':n': { N: String(NOW) } },
    ...TOTAL
  })))
  const set = (id: string, fields: Item) => async () => await wrote(client.send(new UpdateItemCommand({
    TableName,
    Key: { id: { S: id } },
    UpdateExpression: `SET ${Object.keys(fields).map(name => `#${name} = :${name}`).join(', ')}`,
    ExpressionAttributeNames: Object.fromEntries(Object.keys(fields).map(name => [`#${name}`, name])),
    ExpressionAttributeValues: Object.fromEntries(Object.entries(fields).map(([name, value]) => [`:${name}`, value])),
    ...TOTAL
  })))
  const remove = (id: string) => async () => await wrote(client.send(new DeleteItemCommand({ TableName, Key: { id: { S: id } }, ...TOTAL })))
  const known = makeId()
  await set(known, whole)()
  return {
    bytes: sizeOfItem({ id: { S: known }, ...whole }),
    known,
    makeId,
    remove,
    query,
    /** A load is a query and a touch. */
    load: [query(known), set(known, touched)],
    save: (id = known) => set(id, whole)
  }
}

/** An application that loads in each request, saves what it changed, and at a log-in replaces the session. */
export async function replayWeb (endpoint: string): Promise<Replay> {
  const { bytes, load, save, query, remove, known, makeId } = await web(endpoint)
  const reading = async (): Sent => await all(...load)
  return {
    bytes,
    visits: {
      anonymous: async () => await all(),
      forged: async () => await all(query(makeId())),
      read: reading,
      renewal: reading,
      change: async () => await all(...load, save()),
      first: async () => await all(save(makeId())),
      login: async () => await all(...load, save(makeId()), remove(known)).finally(save()),
      logout: async () => await all(...load, remove(known)).finally(save())
    }
  }
}

export async function replayFlask (endpoint: string): Promise<Replay> {
  const { bytes, load, save, query, remove, known, makeId } = await web(endpoint)
  // A session that is there is saved whole at the end of each request.
  const using = async (): Sent => await all(...load, save())
  return {
    bytes,
    visits: {
      anonymous: async () => await all(),
      forged: async () => await all(query(makeId())),
      read: using,
      renewal: using,
      change: using,
      first: async () => await all(save(makeId())),
      login: async () => await all(...load, save(makeId())),
      logout: async () => await all(...load, remove(known)).finally(save())
    }
  }
}
