import type { FastifyReply, FastifyRequest } from 'fastify'
import type { GoneReason } from './events.js'
import type { Keeper } from './keeper.js'
import type { Move } from './move.js'
import type { Log } from './report.js'
import type { Arrival } from './transport.js'
import type { Visit } from './visit.js'

/** What is known of the session of one request. */
export type Seat =
  | { readonly kind: 'disabled' }
  | { readonly kind: 'failed', readonly error: unknown }
  | OpenSeat

export interface OpenSeat {
  readonly kind: 'open'
  readonly reply: FastifyReply
  arrival: Arrival
  /** Made when it is first asked for, where the request brought no token. */
  visit: Visit | undefined
  ended: GoneReason | undefined
  /** What is left to do about the old record, where the session came from another store, or one that is kept there comes with it. */
  move: Move | undefined
  /** Whether it has been done, so that the old cookie is to be cleared. */
  isMoved: boolean
  /** Whether the application has looked at the session, so that the answer depends on it. */
  used: boolean
  /** Whether the headers of the answer are written. */
  told: boolean
  /** Whether they hold a token or a companion. */
  hasSent: boolean
  /** Whether the answer is a stream, so that handlers may go on after it began. */
  isStream: boolean
  /** Whether the request is over: what changes from now on is nobody's to save but the application's. */
  isOver: boolean
}

export function makeSeat (reply: FastifyReply, arrival: Arrival): OpenSeat {
  return {
    kind: 'open', reply, arrival, visit: undefined, ended: undefined, move: undefined, isMoved: false, used: false, told: false, hasSent: false, isStream: false, isOver: false
  }
}

const LOST_CHANGES = 'Changes of a session were lost: they were made after the answer began, or on a reply that was hijacked. Call session.save() there'
const LATE_CHANGES = 'A session was changed after its request had ended. Call session.save() right after the change, or it is lost'
const LOST_TOKEN = 'A session was created after the answer began, so its token was not sent. Create it before, or send session.token yourself'

/** What is asked for after the request is changed too late, unless it is saved. */
export function newVisit (keeper: Keeper, seat: OpenSeat, { log }: FastifyRequest): Visit {
  const visit = keeper.blank(log)
  if (seat.isOver) warnOfLateChanges(visit, log)
  return visit
}

/** A request ends with its connection where no other hook runs: of a web socket, and where the client leaves. */
export function watchConnection (seat: OpenSeat, request: FastifyRequest): void {
  seat.reply.raw.on('close', () => {
    if (isAnswered(seat)) warnOfLosses(seat, request)
  })
}

/** Where the client left before that, the handler is still running, and is settled as usual. */
export function isAnswered ({ told, reply }: OpenSeat): boolean {
  return told || reply.sent
}

/** At the end of a request: changes that nobody will write, and tokens that nobody has sent. Undefined where it need not wait. */
export function warnOfLosses (seat: Seat | undefined, request: FastifyRequest): Promise<void> | undefined {
  if (seat?.kind !== 'open' || seat.isOver) return undefined
  seat.isOver = true
  const { visit } = seat
  if (visit === undefined) return undefined
  if (visit.isBusy) return visit.idle().then(() => { warn(seat, visit, request) })
  warn(seat, visit, request)
  return undefined
}

function warn ({ told, isStream }: OpenSeat, visit: Visit, { log }: FastifyRequest): void {
  const { state } = visit
  const loggableId = state.key
  try {
    if (visit.isUnsaved(!told || isStream)) log.warn({ loggableId }, LOST_CHANGES)
    if (told && typeof state.delivery.token === 'object') log.warn({ loggableId }, LOST_TOKEN)
  } catch {
    // A log without room brings nobody down.
  }
  warnOfLateChanges(visit, log)
}

/** From now on, the first change that is not saved at once is told. */
function warnOfLateChanges (visit: Visit, log: Log): void {
  const { state } = visit
  state.onChange = () => {
    state.onChange = undefined
    // Changes and their save() come in one turn of the event loop.
    setImmediate(() => {
      visit.idle().then(() => {
        if (visit.isUnsaved(false)) log.warn({ loggableId: state.key }, LATE_CHANGES)
        else warnOfLateChanges(visit, log)
      }).catch(() => {})
    })
  }
}
