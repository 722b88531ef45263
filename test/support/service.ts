import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { crc32 } from 'node:zlib'
import type { Test } from 'tap'
import { makeGate } from './gate.js'

/** A request as the service got it. */
export interface Seen {
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  /** Of its signature. */
  readonly accessKeyId: string | undefined
  readonly region: string | undefined
}

export interface ServiceAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: unknown
}

export interface Service {
  readonly endpoint: string
  readonly seen: Seen[]
  readonly sockets: Set<Socket>
  /** Connections so far. */
  connections: number
}

/** What DynamoDB says of a read that found nothing. */
export const NOTHING = { ConsumedCapacity: { CapacityUnits: 0.5, TableName: 'sessions' } }

/** What DynamoDB says where it refuses. */
export function refusal (name: string, status = 400, headers = {}): ServiceAnswer {
  return { status, headers, body: { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message: 'No.' } }
}

/** A server that answers DynamoDB's calls as a test says; without a word to the contrary, that nothing was found. */
export async function startService (
  t: Test, answer: (seen: Seen, count: number) => ServiceAnswer | Promise<ServiceAnswer> = () => ({}),
  tls?: { readonly cert: string, readonly key: string }
): Promise<Service> {
  const listener: RequestListener = (request, response) => {
    buffer(request).then(async bytes => {
      const seen = look(request.url ?? '', request.headers, bytes.toString())
      service.seen.push(seen)
      const { status = 200, headers = {}, body = NOTHING } = await answer(seen, service.seen.length)
      const text = typeof body === 'string' ? body : JSON.stringify(body)
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0', 'x-amz-crc32': crc32(text), 'x-amzn-requestid': 'REQUEST', ...headers })
      response.end(text)
    }).catch(() => response.destroy())
  }
  const server = tls === undefined ? createServer(listener) : createSecureServer(tls, listener)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    service.connections += 1
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const endpoint = `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const service: Service = { endpoint, seen: [], sockets, connections: 0 }
  return service
}

/** A service that answers when it is told to. */
export async function startGated (t: Test): Promise<Service & { open (): void }> {
  const gate = makeGate()
  const service = await startService(t, async () => {
    await gate.passed
    return {}
  })
  return Object.assign(service, { open: gate.open })
}

function look (url: string, headers: IncomingHttpHeaders, body: string): Seen {
  const [, accessKeyId, , region] = /Credential=([^/]+)\/(\d+)\/([^/]+)\//.exec(headers.authorization ?? '') ?? []
  return { url, headers, body, accessKeyId, region }
}

/** Whether a request was signed with this secret, over all that its signature names. */
export function isSigned ({ url, headers, body }: Seen, secret: string): boolean {
  const [, scope = '', names = '', signature] = /Credential=[^/]+\/([^,]+), SignedHeaders=([^,]+), Signature=(\w+)/.exec(headers.authorization ?? '') ?? []
  const [path = '', query = ''] = url.split('?')
  const lines = names.split(';').map(name => `${name}:${String(headers[name])}\n`).join('')
  const request = ['POST', path, query, lines, names, sha256(body)].join('\n')
  const text = ['AWS4-HMAC-SHA256', headers['x-amz-date'], scope, sha256(request)].join('\n')
  const key = scope.split('/').reduce<string | Buffer>((key, part) => createHmac('sha256', key).update(part).digest(), `AWS4${secret}`)
  return createHmac('sha256', key).update(text).digest('hex') === signature
}

function sha256 (text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
