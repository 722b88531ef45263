import type { OpenReport } from '../types/events.js'
import { errors } from './errors.js'
import { tellGone, tellOpen, type Ended } from './events.js'
import { endOfRefused } from './expiry.js'
import { hearsDebug, type Log } from './report.js'
import type { SessionState } from './session.js'

/**
 * What becomes of a session, at debug level: one line for each event, whose fields have the same names everywhere. Nothing is put
 * together before somebody is known to hear it, so that a request costs the question and no more.
 */

/** What was found under the token of a request. */
export function noteOpening (log: Log, outcome: OpenReport['outcome'], way: OpenReport['way'], loggableId: string | undefined): void {
  tellOpen(outcome, way, loggableId)
  if (hearsDebug(log)) say(log, { event: 'opened', ...loggableId !== undefined && { loggableId }, outcome, way }, 'session opened')
}

export function noteCreation (log: Log, loggableId: string): void {
  if (hearsDebug(log)) say(log, { event: 'created', loggableId }, 'session created')
}

/** `version`: the one that the record has now. */
export function noteSave (log: Log, loggableId: string, version: number | undefined): void {
  if (hearsDebug(log)) say(log, { event: 'saved', loggableId, version }, 'session saved')
}

/** `expiresAt`: epoch seconds. `by`: where the last activity is kept. */
export function noteRenewal (log: Log, loggableId: string, expiresAt: number | undefined, by: 'table' | 'cookie'): void {
  if (hearsDebug(log)) say(log, { event: 'renewed', loggableId, expiresAt, by }, 'session renewed')
}

/** `replaced`: the loggable id of the session that this one has taken the place of. */
export function noteRegeneration (log: Log, loggableId: string, replaced: string): void {
  if (hearsDebug(log)) say(log, { event: 'regenerated', loggableId, replaced }, 'session regenerated')
}

export function noteDestruction (log: Log, loggableId: string): void {
  if (hearsDebug(log)) say(log, { event: 'destroyed', loggableId }, 'session destroyed')
}

export function noteRevocation (log: Log, loggableId: string): void {
  if (hearsDebug(log)) say(log, { event: 'revoked', loggableId }, 'session revoked')
}

/** A session that has ended before it was looked at, so that what is new is not stored in its place. */
export function noteEnd (log: Log, ended: Ended): void {
  tellGone(ended.key, ended.reason)
  noteGone(log, ended)
}

/** An act that others may make impossible. What it rejects with goes on to whoever asked for it. */
export async function noteRefusals<T> (log: Log, state: SessionState, act: Promise<T>): Promise<T> {
  return await act.catch((error: unknown) => {
    const loggableId = state.replaced?.record.key ?? state.key
    if (error instanceof errors.Gone) noteGone(log, endOfRefused(error) ?? { key: loggableId, reason: undefined })
    else if (error instanceof errors.Conflict && hearsDebug(log)) say(log, { event: 'conflict', loggableId }, 'session conflict')
    throw error
  })
}

function noteGone (log: Log, { key: loggableId, reason }: { readonly key: string | undefined, readonly reason: Ended['reason'] | undefined }): void {
  if (hearsDebug(log)) say(log, { event: 'gone', loggableId, reason }, 'session gone')
}

/** What is told is done already. */
function say (log: Required<Pick<Log, 'debug'>>, details: Record<string, unknown>, message: string): void {
  try {
    log.debug(details, message)
  } catch {
    // A log without room brings nobody down.
  }
}
