import { channel, tracingChannel } from 'node:diagnostics_channel'
import type { CallReport, ConflictReport, GoneReason, GoneReport, OpenReport, Operation } from '../types/events.js'

export type { CallReport, GoneReason, Operation }

/** What has a tracing channel. */
export const OPERATIONS: readonly Operation[] = ['load', 'create', 'save', 'touch', 'regenerate', 'destroy', 'revoke', 'bind', 'list']

const traces = new Map(OPERATIONS.map(operation =>
  [operation, tracingChannel<string, CallReport>(`fastify-dynamodb-session:${operation}`)] as const))
const open = channel('fastify-dynamodb-session:open')
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
    } catch (error) {
      report.outcome = 'failed'
      throw error
    } finally {
      report.duration = performance.now() - start
    }
  }, report)
  return answer as T
}

/** A record that somebody came with the token of, and that is dead. */
export interface Ended { readonly key: string, readonly reason: GoneReason }

export function tellOpen (outcome: OpenReport['outcome'], way: OpenReport['way'], loggableId: string | undefined): void {
  if (open.hasSubscribers) open.publish({ outcome, way, ...loggableId !== undefined && { loggableId } } satisfies OpenReport)
}

export function tellGone (loggableId: string, reason: GoneReason): void {
  if (gone.hasSubscribers) gone.publish({ loggableId, reason } satisfies GoneReport)
}

export function tellConflict (loggableId: string): void {
  if (conflict.hasSubscribers) conflict.publish({ loggableId } satisfies ConflictReport)
}
