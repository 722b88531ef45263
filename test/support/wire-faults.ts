import type { Socket } from 'node:net'
import type { ServerResponse } from 'node:http'
import { crc32 } from 'node:zlib'

/** An answer as it goes over the wire. Its length is counted when it is sent. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** One call on its way: what a fault has in its hands. */
export interface Exchange {
  readonly socket: Socket
  readonly response: ServerResponse
  /** Takes the call to the engine and lists it with what the engine answered. */
  reach (): Promise<Answer>
  /** Lists a call that the engine does not see, with what it is told instead. */
  withhold (answer?: Answer): void
  /** Rejects when the proxy is closed meanwhile. */
  wait (ms: number): Promise<void>
  /** Says at the close of the proxy that the fault could not be dealt. */
  complain (problem: string): void
}

/** What can befall a call. */
export interface Fault {
  /** Its name in `faults`. */
  readonly name: string
  deal (exchange: Exchange): Promise<void> | void
}

const JSON_TYPE = { 'content-type': 'application/x-amz-json-1.0' }

export function jsonAnswer (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer {
  return { status, headers: { ...JSON_TYPE, ...headers }, body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)) }
}

export function sendAnswer (response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': body.length })
  response.end(body)
}

/** Headers that promise the whole body, and half of it. */
async function sendHalf (response: ServerResponse, { status, headers, body }: Answer): Promise<void> {
  response.writeHead(status, { ...headers, 'content-length': body.length })
  await new Promise(resolve => response.write(half(body), resolve))
}

function half (body: Buffer): Buffer {
  return body.subarray(0, Math.floor(body.length / 2))
}

/** The error of the service with this name. `fields` stand beside its message. */
function error (name: string, { status = 400, message = 'The engine refused.', fields = {} }: {
  readonly status?: number, readonly message?: string, readonly fields?: Readonly<Record<string, unknown>>
} = {}): Fault {
  return told('error', () => jsonAnswer(status, { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message, ...fields }))
}

/** Any answer, such as the page of a gateway in between. */
function raw (status: number, body: string, contentType: string, headers: Readonly<Record<string, string>> = {}): Fault {
  return told('raw', () => ({ status, headers: { 'content-type': contentType, ...headers }, body: Buffer.from(body) }))
}

/** What a service answers whose clock is `ms` ahead of ours. */
function skew (ms: number): Fault {
  return told('skew', () => jsonAnswer(400, {
    __type: 'com.amazon.coral.service#InvalidSignatureException',
    message: `Signature expired: it is now ${new Date(Date.now() + ms).toISOString()}`
  }, { date: new Date(Date.now() + ms).toUTCString() }))
}

/** A fault that answers in the engine's place. */
function told (name: string, make: () => Answer): Fault {
  return {
    name,
    deal: ({ response, withhold }) => {
      const answer = make()
      withhold(answer)
      sendAnswer(response, answer)
    }
  }
}

/** A fault that puts another answer in the place of the engine's. */
function altered (name: string, alter: (answer: Answer, exchange: Exchange) => Answer): Fault {
  return { name, deal: async exchange => { sendAnswer(exchange.response, alter(await exchange.reach(), exchange)) } }
}

/** The engine's answer with some of its text replaced, under the checksum of what it was. */
function bitflip (from: string, to: string): Fault {
  return altered('bitflip', (answer, { complain }) => {
    const text = answer.body.toString()
    if (!text.includes(from)) complain(`bitflip found no ${JSON.stringify(from)} in the answer`)
    return { ...answer, body: Buffer.from(text.replaceAll(from, () => to)) }
  })
}

function delay (ms: number): Fault {
  return {
    name: 'delay',
    deal: async ({ response, reach, wait }) => {
      await wait(ms)
      sendAnswer(response, await reach())
    }
  }
}

function delayAfter (ms: number): Fault {
  return {
    name: 'delayAfter',
    deal: async ({ response, reach, wait }) => {
      const answer = await reach()
      await wait(ms)
      sendAnswer(response, answer)
    }
  }
}

/** One half of the answer, and the connection ends. */
async function truncate ({ socket, response, reach }: Exchange): Promise<void> {
  await sendHalf(response, await reach())
  socket.end()
}

function wrongChecksum (answer: Answer): Answer {
  return { ...answer, headers: { ...answer.headers, 'x-amz-crc32': String((crc32(answer.body) ^ 1) >>> 0) } }
}

/**
 * Everything that can befall a call. The engine sees the call, except with `error`, `raw`, `skew`, `hang` and `resetBefore`.
 * `reset` is an RST, `close` a FIN.
 */
export const faults = Object.freeze({
  error,
  raw,
  skew,
  delay,
  delayAfter,
  bitflip,
  hang: { name: 'hang', deal: ({ withhold }) => { withhold() } },
  hangAfter: { name: 'hangAfter', deal: async ({ reach }) => { await reach() } },
  resetBefore: {
    name: 'resetBefore',
    deal: ({ socket, withhold }) => {
      withhold()
      socket.resetAndDestroy()
    }
  },
  resetAfter: {
    name: 'resetAfter',
    deal: async ({ socket, reach }) => {
      await reach()
      socket.resetAndDestroy()
    }
  },
  closeAfter: {
    name: 'closeAfter',
    deal: async ({ socket, reach }) => {
      await reach()
      socket.end()
    }
  },
  truncate: { name: 'truncate', deal: truncate },
  truncateClean: altered('truncateClean', answer => ({ ...answer, body: half(answer.body) })),
  stall: { name: 'stall', deal: async ({ response, reach }) => { await sendHalf(response, await reach()) } },
  empty200: altered('empty200', () => ({ status: 200, headers: JSON_TYPE, body: Buffer.alloc(0) })),
  emptyObject: altered('emptyObject', () => jsonAnswer(200, '{}', { 'x-amz-crc32': String(crc32('{}')) })),
  badCrc: altered('badCrc', wrongChecksum)
} satisfies Record<string, Fault | ((...args: never[]) => Fault)>)

export type Action =
  'GetItem' | 'BatchGetItem' | 'Query' | 'Scan' | 'PutItem' | 'UpdateItem' | 'DeleteItem' | 'BatchWriteItem' | 'TransactGetItems' |
  'TransactWriteItems' | 'CreateTable' | 'DescribeTable' | 'DeleteTable' | 'ListTables' | 'UpdateTable' | 'DescribeTimeToLive' |
  'UpdateTimeToLive'

/** Which calls a rule is for. */
export type Match = Action | '*' | {
  /** Every action, if left out. */
  readonly action?: Action | '*'
  readonly when?: (input: Record<string, any>) => boolean
  /** How many matching calls it lets by first. Calls that an earlier rule took are not among them. */
  readonly letBy?: number
  /** How many calls it takes, 1 if left out. */
  readonly times?: number
}

/** Calls meet at most one rule: the first live one that takes them, in the order in which the rules were set. A gate is a rule too. */
export interface Rule {
  /** How many calls met it. */
  readonly met: number
  remove (): void
}

/** A place where one call stands still until it is released. */
export interface Gate {
  /** Resolves when the call stands there. */
  readonly reached: Promise<{ readonly action: string, readonly input: Readonly<Record<string, any>> }>
  /** Lets the call go on, also one that is still to come. */
  release (): void
  readonly isHolding: boolean
}

/** What a call meets: a fault, or a stop on one side of the engine. */
export interface Taken {
  readonly fault?: Fault
  readonly before?: () => Promise<void>
  readonly after?: () => Promise<void>
}

interface Entry {
  readonly matches: (action: string, input: Record<string, any>) => boolean
  readonly take: (action: string, input: Record<string, any>) => Taken
  letBy: number
  left: number
}

export class Rules {
  readonly #entries: Entry[] = []
  readonly #gates: HoldingGate[] = []

  meet (match: Match, fault: Fault): Rule {
    let met = 0
    const entry = this.#add(match, () => {
      met += 1
      return { fault }
    })
    return { get met () { return met }, remove: () => { entry.left = 0 } }
  }

  gate (match: Match, where: 'before' | 'after'): Gate {
    if (typeof match === 'object' && (match.times ?? 1) !== 1) throw new Error('A gate holds one call: set as many gates as calls')
    const gate = new HoldingGate()
    this.#gates.push(gate)
    this.#add(match, (action, input) => ({ [where]: async () => { await gate.hold(action, input) } }))
    return gate
  }

  /** What the call meets, if anything. */
  find (action: string, input: Record<string, any>): Taken | undefined {
    for (const entry of this.#entries) {
      if (entry.left <= 0 || !entry.matches(action, input)) continue
      if (entry.letBy-- > 0) continue
      entry.left -= 1
      return entry.take(action, input)
    }
    return undefined
  }

  /** The actions that stand at gates now; they stay there for ever. */
  takeHeld (): string[] {
    return this.#gates.splice(0).flatMap(gate => gate.isHolding ? [gate.held] : [])
  }

  #add (match: Match, take: Entry['take']): Entry {
    const { action = '*', when = () => true, letBy = 0, times = 1 } = typeof match === 'string' ? { action: match } : match
    const entry: Entry = { matches: (called, input) => (action === '*' || action === called) && when(input), take, letBy, left: times }
    this.#entries.push(entry)
    return entry
  }
}

class HoldingGate implements Gate {
  readonly reached: Gate['reached']
  held = ''
  #arrive: (call: { action: string, input: Record<string, any> }) => void = () => {}
  #open: () => void = () => {}
  readonly #opened: Promise<void>
  #state: 'waiting' | 'holding' | 'open' = 'waiting'

  constructor () {
    this.reached = new Promise(resolve => { this.#arrive = resolve })
    this.#opened = new Promise(resolve => { this.#open = resolve })
  }

  get isHolding (): boolean { return this.#state === 'holding' }

  release (): void {
    this.#state = 'open'
    this.#open()
  }

  async hold (action: string, input: Record<string, any>): Promise<void> {
    if (this.#state === 'waiting') this.#state = 'holding'
    this.held = action
    this.#arrive({ action, input })
    await this.#opened
  }
}
