import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import type { CallReport } from '../index.js'
import { html, type Markup } from './html.js'

/** One DynamoDB call of a request, copied from the report of a tracing channel. */
export interface CallLine {
  /** What the call was made for: the name of its channel. */
  readonly operation: string
  readonly action: string
  readonly consistent: boolean
  /** Capacity units; undefined where the call failed. */
  readonly capacity: number | undefined
  /** Milliseconds. */
  readonly duration: number
}

/** One request with the calls that it made. */
export interface RequestLine {
  readonly method: string
  readonly path: string
  /** Undefined while the answer is being made. */
  status: number | undefined
  readonly calls: CallLine[]
}

const OPERATIONS = ['load', 'create', 'save', 'touch', 'regenerate', 'destroy']
const KEPT = 8
const LONGEST_PATH = 60

/** Watches the requests of an application and the calls that each of them makes. Gives the latest, newest first. */
export function watchRequests (app: FastifyInstance): readonly RequestLine[] {
  const lines: RequestLine[] = []
  const current = new AsyncLocalStorage<RequestLine>()

  app.addHook('onRequest', (request, _reply, done) => {
    const path = request.url.replace(/\?.*/, '').slice(0, LONGEST_PATH)
    const line: RequestLine = { method: request.method, path, status: undefined, calls: [] }
    lines.unshift(line)
    lines.splice(KEPT)
    current.run(line, done)
  })
  app.addHook('onSend', async (_request, reply) => {
    const line = current.getStore()
    if (line !== undefined) line.status = reply.statusCode
  })

  for (const operation of OPERATIONS) {
    const { asyncEnd } = tracingChannel<string, CallReport>(`fastify-dynamodb-session:${operation}`)
    const note = (message: unknown): void => {
      const { action, consistent, capacity, duration = 0 } = message as CallReport
      current.getStore()?.calls.push({ operation, action, consistent, capacity, duration })
    }
    asyncEnd.subscribe(note)
    app.addHook('onClose', async () => { asyncEnd.unsubscribe(note) })
  }
  return lines
}

/** The latest requests as a list that needs no colour to be read. */
export function panel (lines: readonly RequestLine[]): Markup {
  return html`<section class="panel" aria-labelledby="panel">
<h2 id="panel">DynamoDB calls, newest request first</h2>
<ol>${lines.map(requestItem)}</ol>
<p class="hint">Units are DynamoDB's read and write capacity units. Times are those of the engine inside this program.</p>
</section>`
}

function requestItem ({ method, path, status, calls }: RequestLine): Markup {
  return html`<li>
<p class="request"><strong>${method} ${path}</strong> <span>${status ?? 'this page'}</span> <span class="sum">${sumOf(calls)}</span></p>
${calls.length === 0 ? [] : html`<ul>${calls.map(callItem)}</ul>`}
</li>
`
}

function sumOf (calls: readonly CallLine[]): string {
  if (calls.length === 0) return 'no call'
  const units = calls.reduce((sum, { capacity = 0 }) => sum + capacity, 0)
  return `${calls.length === 1 ? '1 call' : `${calls.length} calls`}, ${unitsText(units)}`
}

function callItem ({ operation, action, consistent, capacity, duration }: CallLine): Markup {
  const kind = operation !== 'load' ? 'write' : consistent ? 'strongly consistent read' : 'eventually consistent read'
  return html`<li><b>${action}</b> <span>to ${operation}</span> <span>${kind}</span>
<span>${capacity === undefined ? 'failed' : unitsText(capacity)}</span> <span>${duration.toFixed(1)} ms</span></li>`
}

function unitsText (units: number): string {
  return units === 1 ? '1 unit' : `${units} units`
}
