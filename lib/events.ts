import { channel, tracingChannel } from 'node:diagnostics_channel'

/** What a DynamoDB call is made for. Each has a tracing channel of its own. */
export type Operation = 'load' | 'create' | 'save' | 'touch' | 'regenerate' | 'destroy' | 'revoke' | 'bind' | 'list'

/** What a subscriber of a tracing channel gets: never an id, a key or a value. Filled while the call runs. */
export interface CallReport {
  /** The DynamoDB action, such as `GetItem`. */
  readonly action: string
  /** Whether a read was strongly consistent. */
  readonly consistent: boolean
  /** Milliseconds from the call to its answer, retries included. */
  duration?: number
  /** Capacity units that DynamoDB charged. */
  capacity?: number
  /** Size of the item that was read, or is written whole. */
  itemBytes?: number
}

const OPERATIONS: readonly Operation[] = ['load', 'create', 'save', 'touch', 'regenerate', 'destroy', 'revoke', 'bind', 'list']

const traces = new Map(OPERATIONS.map(operation =>
  [operation, tracingChannel<string, CallReport>(`fastify-dynamodb-session:${operation}`)] as const))
const gone = channel('fastify-dynamodb-session:gone')
const conflict = channel('fastify-dynamodb-session:conflict')

/** Whether anybody listens to an operation; without listeners, nothing is measured. */
export function isTraced (operation: Operation): boolean {
  return traces.get(operation)?.hasSubscribers === true
}

/** Runs a call and tells the listeners of its channel about it, if there are any. */
export async function traced<T> (operation: Operation, report: CallReport, call: () => Promise<T>): Promise<T> {
  const trace = traces.get(operation)
  if (trace?.hasSubscribers !== true) return await call()
  const start = performance.now()
  let answer: T | undefined
  // The channel hands its listeners what the traced function resolves to, and an answer holds ids and values.
  await trace.tracePromise(async () => {
    try {
      answer = await call()
    } finally {
      report.duration = performance.now() - start
    }
  }, report)
  return answer as T
}

/** Why a session could not be written: it is not there, or another took its place, or its time was up. */
export type GoneReason = 'missing' | 'replaced' | 'expired'

/** A record that somebody came with the token of, and that is dead. */
export interface Ended { readonly key: string, readonly reason: GoneReason }

export function tellGone (loggableId: string, reason: GoneReason): void {
  if (gone.hasSubscribers) gone.publish({ loggableId, reason })
}

export function tellConflict (loggableId: string): void {
  if (conflict.hasSubscribers) conflict.publish({ loggableId })
}
