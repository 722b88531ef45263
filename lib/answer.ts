import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SessionRecord } from '../types/repository.js'
import { LONGEST_LIFE } from './cookie.js'
import { errors, isOurs, RETRY_AFTER_SECONDS } from './errors.js'
import type { GoneReason } from './events.js'
import type { Settings } from './options.js'
import type { Delivery } from './plan.js'
import type { OpenSeat, Seat } from './seat.js'
import type { Arrival, Transport } from './transport.js'
import type { Visit } from './visit.js'

/** What a failure of ours takes away: they describe an answer that is not sent. */
const ANSWER_HEADERS = [
  'etag', 'last-modified', 'expires', 'cache-control', 'location', 'content-encoding', 'content-disposition', 'content-range'
]

/**
 * The headers of an answer, after the table agreed. Once: Fastify keeps them when it runs onSend again for an error. An error
 * handler may have said of its page, by then, that it is for everybody.
 */
export function tellBrowser (seat: OpenSeat, settings: Settings, transport: Transport, request: FastifyRequest): void {
  const isFirst = !seat.told
  seat.told = true
  if (seat.hasSent) transport.keepFromCaches(seat.reply)
  if (isFirst && seat.visit !== undefined) deliver(seat, seat.visit, settings, transport, request)
  if (isFirst && seat.visit !== undefined && seat.move !== undefined && seat.isMoved) {
    for (const reader of seat.move.served) transport.clearForeign(request, seat.reply, seat.arrival.way, seat.visit.cookie, reader)
  }
  tellCaches(seat, transport)
}

/** The application asks for the session, for the first time in this request: perhaps in an onSend hook after ours. */
export function noteUse (seat: OpenSeat, transport: Transport): void {
  seat.used = true
  if (seat.told && !seat.reply.raw.headersSent) tellCaches(seat, transport)
}

function tellCaches ({ reply, used, visit, isMoved, arrival: { came } }: OpenSeat, transport: Transport): void {
  // What was made for a visitor who could not be known is to be kept for nobody, this visitor included.
  if (used && visit?.state.unread !== undefined) reply.header('cache-control', 'no-store')
  if (used || came || isMoved) transport.vary(reply)
}

function deliver (seat: OpenSeat, visit: Visit, settings: Settings, transport: Transport, request: FastifyRequest): void {
  const { reply, arrival: { way } } = seat
  const { token, wrote } = tokenStep(seat, visit, request)
  seat.hasSent = token !== undefined || wrote !== undefined
  const lifeOf = (record: SessionRecord): number | undefined => cookieLife(record, settings.cookie.maxAge, settings.now() / 1000)
  if (token === 'clear') transport.sendToken(request, reply, way, visit.cookie, '', 0)
  else if (token !== undefined) transport.sendToken(request, reply, way, visit.cookie, settings.tokens.sign(token.id), lifeOf(token.record))
  const isTracking = settings.idleTracking === 'cookie'
  if (token === 'clear' && isTracking) transport.clearCompanion(request, reply, way, visit.cookie)
  else if (wrote !== undefined && (isTracking || !settings.consistentRead)) {
    const { record } = visit.state
    const activity = isTracking && record?.key === wrote.key ? { at: record.lastSeenAt, life: lifeOf(record) } : undefined
    transport.sendCompanion(request, reply, way, visit.cookie, wrote.key, wrote.version, activity)
  }
}

/** What is sent or cleared. Nothing else than these steps ever does, so that no late answer undoes a newer one. */
function tokenStep (seat: OpenSeat, visit: Visit, request: FastifyRequest): Delivery {
  const { arrival, ended } = seat
  const { record, failed } = visit.state
  const delivery = visit.takeDelivery()
  // After a destroy there is nothing to clear where the browser brought nothing. Where it brought tokens of several sessions,
  // the genuine one would be cleared and a planted one left, which would be signed in from then on.
  if (delivery.token === 'clear') return arrival.came && !arrival.isAmbiguous ? delivery : {}
  if (delivery.token !== undefined) return delivery
  // A living session under a token that an old secret signed.
  const { token } = arrival
  if (token?.outdated === true && record !== undefined && !failed && !isBackground(request)) return { ...delivery, token: { id: token.id, record } }
  return ended !== undefined && isLeftOver(arrival, ended, request) ? { token: 'clear' } : delivery
}

/**
 * Whether a cookie without a session is to be cleared. Only a top-level navigation does so: the answer of a background
 * request may come late and would put out a token that was set meanwhile. A replaced session has a successor, whose token
 * may be on its way.
 */
function isLeftOver ({ way }: Arrival, ended: GoneReason, request: FastifyRequest): boolean {
  const isNavigation = request.headers['sec-fetch-mode'] === 'navigate' && !isBackground(request)
  return way === 'cookie' && ended !== 'replaced' && isNavigation
}

/**
 * Whether this is no top-level navigation, as browsers say (Fetch Metadata): asked for by a page beside other things, in a
 * frame, or ahead of time. Its answer may come after that of a log-in.
 */
function isBackground ({ headers }: FastifyRequest): boolean {
  if (headers['sec-purpose'] !== undefined) return true
  return (headers['sec-fetch-mode'] ?? 'navigate') !== 'navigate' || (headers['sec-fetch-dest'] ?? 'document') !== 'document'
}

/** A cookie's life counts from the creation of its session: what remains of it. */
function cookieLife ({ cookieMaxAge, createdAt }: SessionRecord, fallback: number | undefined, now: number): number | undefined {
  const maxAge = cookieMaxAge ?? fallback
  if (maxAge === undefined) return undefined
  // Another server's clock may be ahead.
  return Math.max(1, Math.ceil(Math.min(maxAge, createdAt + maxAge - now, LONGEST_LIFE)))
}

/** A failure of ours takes the place of the handler's answer, wherever it was thrown. */
export function withdrawAnswer (seat: Seat | undefined, reply: FastifyReply, error: unknown): void {
  if (!isOurs(error)) return
  // Another registration may have sent a token with this answer.
  const mayBeKept = !String(reply.getHeader('cache-control') ?? '').includes('no-store')
  for (const name of ANSWER_HEADERS) if (mayBeKept || name !== 'cache-control') reply.removeHeader(name)
  // A failure may carry a token all the same.
  if (seat?.kind === 'open' && seat.hasSent) reply.header('cache-control', 'no-store')
  if (error instanceof errors.Unavailable) reply.header('retry-after', RETRY_AFTER_SECONDS)
}

/** A payload that is not sent: a stream of any kind is not left open. */
export function discard (payload: unknown): void {
  if (typeof payload !== 'object' || payload === null) return
  if (payload instanceof ReadableStream) payload.cancel().catch(() => {})
  else if ('destroy' in payload && typeof payload.destroy === 'function') payload.destroy()
  // A Response, this process's own or that of a package.
  else if ('body' in payload) discard(payload.body)
}
