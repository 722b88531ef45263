import type { IncomingMessage, ServerResponse } from 'node:http'
import { crc32 } from 'node:zlib'
import { hash } from '../lib/token.js'
import { StubTable, updated, type Stored, type WireItem } from './stub-table.js'
import { Tally } from './tally.js'

/** What is asked, as far as a stub looks at it. */
interface Input {
  readonly TableName: string
  readonly Key: WireItem
  readonly Item: WireItem
  readonly ConsistentRead?: boolean
  readonly RequestItems?: Readonly<Record<string, { readonly Keys: readonly WireItem[], readonly ConsistentRead?: boolean }>>
  readonly UpdateExpression: string
  readonly ReturnValues?: string
  readonly ReturnConsumedCapacity?: string
}

/** An answer before it is sent: the members of its body as text, and what it costs. */
interface Reply {
  readonly members: readonly string[]
  readonly read?: number
  readonly write?: number
  readonly status?: number
}

/** Which sessions to add to a table: copies of one that is there. */
export interface Filling {
  readonly table: string
  /** The key of the item that is there. */
  readonly from: string
  readonly first: number
  readonly count: number
  /** Whether the key of an item is the hash of the id, or the id itself. */
  readonly isHashed: boolean
}

/** The id of one of many sessions, the same whoever asks: what fills a table and what visits it need no list. */
export function idOf (index: number): string {
  return hash(`session ${index}`)
}

/**
 * A service that speaks DynamoDB's protocol and does next to nothing: what is left is what the client costs. It validates
 * nothing, takes every condition as met, keeps items in memory, and charges capacity by DynamoDB's rules.
 */
export class Stub extends Tally {
  /** Milliseconds that each answer is held back. */
  delay = 0
  readonly #tables = new Map<string, StubTable>()

  static async start (): Promise<Stub> {
    return await new Stub().listen()
  }

  fill ({ table, from, first, count, isHashed }: Filling): void {
    const keys = Array.from({ length: count }, (_, index) => isHashed ? hash(idOf(first + index)) : idOf(first + index))
    this.#table(table).fill(from, keys)
  }

  /** The keys of a table. */
  keys (table: string): string[] {
    return this.#table(table).all().map(({ item }) => String(item['id']?.['S']))
  }

  clear (): void {
    for (const table of this.#tables.values()) table.clear()
  }

  #table (name: string): StubTable {
    const table = this.#tables.get(name) ?? new StubTable()
    this.#tables.set(name, table)
    return table
  }

  protected override respond (request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => { chunks.push(chunk) })
    request.on('end', () => {
      const body = Buffer.concat(chunks)
      if (this.delay === 0) this.#answer(request, body, response)
      else setTimeout(() => { this.#answer(request, body, response) }, this.delay)
    })
  }

  #answer (request: IncomingMessage, body: Buffer, response: ServerResponse): void {
    const action = String(request.headers['x-amz-target']).split('.')[1] ?? ''
    const { members, read = 0, write = 0, status = 200 } = this.#perform(action, body)
    this.note(action, { calls: 1, read, write, sent: body.length })
    const bytes = Buffer.from(`{${members.join(',')}}`)
    response.writeHead(status, {
      'content-type': 'application/x-amz-json-1.0', 'content-length': bytes.length, 'x-amz-crc32': crc32(bytes)
    })
    response.end(bytes)
  }

  #perform (action: string, body: Buffer): Reply {
    // A health check of whoever waits for an engine has no body.
    const input = body.length === 0 ? undefined : JSON.parse(body.toString()) as Input
    switch (input === undefined ? '' : action) {
      case 'GetItem': return this.#get(input as Input)
      case 'BatchGetItem': return this.#getMany(input as Input)
      case 'PutItem': return this.#put(input as Input)
      case 'UpdateItem': return this.#update(input as Input)
      case 'DeleteItem': return this.#delete(input as Input)
      case 'Scan': return this.#scan(input as Input)
      case 'DescribeTable': return { members: ['"Table":{"TableStatus":"ACTIVE"}'] }
      case 'CreateTable': return { members: ['"TableDescription":{"TableStatus":"ACTIVE"}'] }
      default: return { members: ['"__type":"com.amazonaws.dynamodb.v20120810#UnknownOperationException"'], status: 400 }
    }
  }

  #get (input: Input): Reply {
    const found = this.#table(input.TableName).get(input.Key)
    const read = readUnits(found, input.ConsistentRead)
    return { members: [...found === undefined ? [] : [`"Item":${found.text}`], ...capacity(input, input.TableName, read)], read }
  }

  #getMany (input: Input): Reply {
    let read = 0
    const responses: string[] = []
    const charged: string[] = []
    for (const [name, { Keys, ConsistentRead }] of Object.entries(input.RequestItems ?? {})) {
      const found = Keys.map(key => this.#table(name).get(key))
      const units = found.reduce((sum, item) => sum + readUnits(item, ConsistentRead), 0)
      responses.push(`${JSON.stringify(name)}:[${found.flatMap(item => item === undefined ? [] : [item.text]).join(',')}]`)
      charged.push(`{"TableName":${JSON.stringify(name)},"CapacityUnits":${units}}`)
      read += units
    }
    const asked = input.ReturnConsumedCapacity === 'TOTAL' ? [`"ConsumedCapacity":[${charged.join(',')}]`] : []
    return { members: [`"Responses":{${responses.join(',')}}`, '"UnprocessedKeys":{}', ...asked], read }
  }

  #put (input: Input): Reply {
    const table = this.#table(input.TableName)
    return written(input, table.put(input.Item), table.get(input.Item))
  }

  #update (input: Input): Reply {
    const table = this.#table(input.TableName)
    const { item, changes } = updated(table.get(input.Key)?.item ?? input.Key, input)
    const attributes = input.ReturnValues === 'UPDATED_NEW' ? [`"Attributes":${JSON.stringify(changes)}`] : []
    const { members, ...units } = written(input, table.put(item), table.get(input.Key))
    return { members: [...attributes, ...members], ...units }
  }

  #delete (input: Input): Reply {
    return written(input, this.#table(input.TableName).delete(input.Key), undefined)
  }

  #scan (input: Input): Reply {
    const all = this.#table(input.TableName).all()
    return { members: [`"Items":[${all.map(({ text }) => text).join(',')}]`, `"Count":${all.length}`] }
  }
}

/** A unit for each 4 KB, half of it where the read is eventually consistent. */
function readUnits (found: Stored | undefined, consistent = false): number {
  return Math.max(1, Math.ceil((found?.bytes ?? 0) / 4096)) * (consistent ? 1 : 0.5)
}

/** A unit for each KB of the larger of what was there and what is. */
function written (input: Input, before: Stored | undefined, after: Stored | undefined): Reply {
  const write = Math.max(1, Math.ceil(Math.max(before?.bytes ?? 0, after?.bytes ?? 0) / 1024))
  return { members: capacity(input, input.TableName, write), write }
}

function capacity (input: Input, table: string, units: number): string[] {
  if (input.ReturnConsumedCapacity !== 'TOTAL') return []
  return [`"ConsumedCapacity":{"TableName":${JSON.stringify(table)},"CapacityUnits":${units}}`]
}
