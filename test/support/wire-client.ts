import { once } from 'node:events'
import { request as send, type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'

export interface Question {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is. */
  readonly body?: string
  /** What the answers before have set. */
  readonly cookie?: string
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly setCookies: readonly string[]
  readonly body: string
}

/** A request on a connection of its own, which may be broken off before its answer is read. */
export function begin (url: string, { method = 'GET', headers = {}, body, cookie }: Question = {}): ClientRequest {
  const request = send(url, {
    method,
    agent: false,
    headers: {
      ...headers,
      ...cookie !== undefined && { cookie },
      ...body !== undefined && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
    }
  })
  // Who breaks a request off knows that it broke.
  request.on('error', () => {})
  return request.end(body)
}

/** A request over a real socket, and its whole answer. Rejects where the connection breaks. */
export async function ask (url: string, question: Question = {}): Promise<Reply> {
  const [response] = await once(begin(url, question), 'response') as [IncomingMessage]
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    setCookies: response.headers['set-cookie'] ?? [],
    body: await text(response)
  }
}

/** What a browser would send after these answers: the pairs of their Set-Cookie headers, the later over the earlier. */
export function cookieOf (...replies: ReadonlyArray<{ readonly setCookies: readonly string[] }>): string {
  const pairs = replies.flatMap(({ setCookies }) => setCookies).map(line => {
    const [pair = ''] = line.split(';')
    return [pair.slice(0, pair.indexOf('=')), pair] as const
  })
  return [...new Map(pairs).values()].join('; ')
}

/** The names of the cookies that an answer sets or clears. */
export function namesOf ({ setCookies }: { readonly setCookies: readonly string[] }): string[] {
  return setCookies.map(line => line.slice(0, line.indexOf('=')))
}

/** A connection on which a test writes and reads bytes itself. */
export class RawConnection {
  readonly socket: Socket
  received = ''

  constructor (origin: string) {
    const { hostname, port } = new URL(origin)
    this.socket = connect(Number(port), hostname)
    this.socket.setEncoding('latin1')
    this.socket.on('data', chunk => { this.received += String(chunk) })
    this.socket.on('error', () => {})
  }

  write (bytes: string): void {
    this.socket.write(bytes)
  }

  /** Resolves when what was received looks so, and rejects when the connection ends before. */
  async until (looks: (received: string) => boolean): Promise<string> {
    while (!looks(this.received)) {
      if (this.socket.closed || this.socket.readableEnded) throw new Error(`The connection ended after: ${this.received}`)
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')])
    }
    return this.received
  }

  close (): void {
    this.socket.destroy()
  }
}
