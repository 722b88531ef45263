import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { SessionRecord } from '../types/repository.js'
import type { Session } from '../types/session.js'
import { errors, RETRY_AFTER_SECONDS } from './errors.js'
import type { GoneReason } from './events.js'
import type { Keeper } from './keeper.js'
import type { Settings } from './options.js'
import type { Delivery } from './plan.js'
import { Transport, type Arrival } from './transport.js'
import { hash } from './token.js'
import type { Visit } from './visit.js'

/** What is known of the session of one request. */
type Seat =
  | { readonly kind: 'disabled' }
  | { readonly kind: 'failed', readonly error: unknown }
  | OpenSeat

interface OpenSeat {
  readonly kind: 'open'
  readonly arrival: Arrival
  /** Made when it is first asked for, where the request brought no token. */
  visit: Visit | undefined
  readonly ended: GoneReason | undefined
  /** Whether the application has looked at the session, so that the answer depends on it. */
  used: boolean
  /** Whether the headers of the answer are written. */
  told: boolean
  /** Whether they hold a token or a companion. */
  hasSent: boolean
  /** Whether the answer is a stream, so that handlers may go on after it began. */
  isStream: boolean
}

/** What a failure of ours takes away: they describe an answer that is not sent. */
const ANSWER_HEADERS = ['etag', 'location', 'cache-control', 'content-encoding']

const LOST_CHANGES = 'Changes of a session were lost: they were made after the answer began, or on a reply that was hijacked. Call session.save() there'
const LOST_TOKEN = 'A session was created after the answer began, so its token was not sent. Create it before, or send session.token yourself'

/** Opens a session when a request comes and settles it before the answer goes. */
export function addLifecycle (app: FastifyInstance, keeper: Keeper): void {
  const { settings } = keeper
  const { sessionName } = settings
  const transport = new Transport(settings)
  // One for each registration; the request's shape stays one for all requests.
  const kSeat = Symbol(`fastify-dynamodb-session.${sessionName}`)
  const seats = {
    of: (request: FastifyRequest): Seat | null => Reflect.get(request, kSeat) as Seat | null,
    take: (request: FastifyRequest, seat: Seat): void => { Reflect.set(request, kSeat, seat) }
  }

  app.decorateRequest(kSeat, null)
  app.decorateRequest(sessionName, {
    getter (this: FastifyRequest): Session {
      const seat = seats.of(this)
      if (seat === null) throw new errors.NotOpen(sessionName)
      if (seat.kind === 'disabled') throw new errors.Disabled(sessionName, sessionName)
      if (seat.kind === 'failed') throw seat.error
      seat.used = true
      seat.visit ??= keeper.blank(this.log)
      return seat.visit.session
    }
  })

  app.addHook('onRoute', ({ config }) => {
    const choice: unknown = Reflect.get(config ?? {}, sessionName)
    if (choice !== undefined && typeof choice !== 'boolean') throw new errors.BadOption(`config.${sessionName}`, 'of a route must be true or false')
  })

  app.addHook('onRequest', async request => {
    if (Reflect.get(request.routeOptions.config, sessionName) === false) {
      seats.take(request, { kind: 'disabled' })
      return
    }
    try {
      seats.take(request, await openSeat(keeper, transport, request))
    } catch (error) {
      seats.take(request, { kind: 'failed', error })
      throw error
    }
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const seat = seats.of(request)
    if (seat?.kind === 'failed') transport.vary(reply)
    if (seat?.kind !== 'open') return payload
    try {
      await seat.visit?.settle(reply.statusCode >= 500 && !settings.saveOnServerError)
    } catch (error) {
      discard(payload)
      throw error
    } finally {
      seat.isStream = typeof payload === 'object' && payload !== null && !Buffer.isBuffer(payload)
      tellBrowser(seat, settings, transport, request, reply)
    }
    return payload
  })

  app.addHook('onError', async (request, reply, error) => { withdrawAnswer(seats.of(request), reply, error) })
  app.addHook('onResponse', async request => { await warnOfLosses(seats.of(request), request) })
}

async function openSeat (keeper: Keeper, transport: Transport, request: FastifyRequest): Promise<OpenSeat> {
  const arrival = transport.read(request.headers)
  const seat: OpenSeat = {
    kind: 'open', arrival, visit: undefined, ended: undefined, used: false, told: false, hasSent: false, isStream: false
  }
  if (arrival.token === undefined) return seat
  const { id } = arrival.token
  const key = hash(id)
  return Object.assign(seat, await keeper.open(id, key, request.log, transport.writtenVersion(arrival, key)))
}

/** The headers of an answer, after the table agreed. Once: Fastify keeps them when it runs onSend again for an error. */
function tellBrowser (seat: OpenSeat, settings: Settings, transport: Transport, request: FastifyRequest, reply: FastifyReply): void {
  if (seat.told) return
  seat.told = true
  const { arrival: { way, came }, visit } = seat
  if (visit !== undefined) {
    const { token, wrote } = tokenStep(seat, visit, request)
    seat.hasSent = token !== undefined || wrote !== undefined
    if (token === 'clear') transport.sendToken(request, reply, way, visit.cookie, '', 0)
    else if (token !== undefined) {
      const life = cookieLife(token.record, settings.cookie.maxAge, settings.now() / 1000)
      transport.sendToken(request, reply, way, visit.cookie, settings.tokens.sign(token.id), life)
    }
    if (wrote !== undefined && !settings.consistentRead) transport.sendCompanion(request, reply, way, visit.cookie, wrote.key, wrote.version)
  }
  if (seat.used || came || reply.hasHeader('set-cookie')) transport.vary(reply)
}

/** What is sent or cleared. Nothing else than these steps ever does, so that no late answer undoes a newer one. */
function tokenStep (seat: OpenSeat, visit: Visit, request: FastifyRequest): Delivery {
  const { arrival, ended } = seat
  const { record, failed } = visit.state
  const delivery = visit.takeDelivery()
  // After a destroy there is nothing to clear where the browser brought nothing.
  if (delivery.token === 'clear') return arrival.came ? delivery : {}
  if (delivery.token !== undefined) return delivery
  // A living session under a token that an old secret signed.
  const { token } = arrival
  if (token?.outdated === true && record !== undefined && !failed) return { ...delivery, token: { id: token.id, record } }
  return ended !== undefined && isLeftOver(arrival, ended, request) ? { token: 'clear' } : delivery
}

/**
 * Whether a cookie without a session is to be cleared. Only a top-level navigation does so: the answer of a background
 * request may come late and would put out a token that was set meanwhile. A replaced session has a successor, whose token
 * may be on its way.
 */
function isLeftOver ({ way }: Arrival, ended: GoneReason, request: FastifyRequest): boolean {
  return way === 'cookie' && ended !== 'replaced' && request.headers['sec-fetch-mode'] === 'navigate'
}

/** A cookie's life counts from the creation of its session: what remains of it. */
function cookieLife ({ cookieMaxAge, createdAt }: SessionRecord, fallback: number | undefined, now: number): number | undefined {
  const maxAge = cookieMaxAge ?? fallback
  return maxAge === undefined ? undefined : Math.max(1, Math.floor(createdAt + maxAge - now))
}

function isOurs (error: unknown): boolean {
  return Object.values(errors).some(Kind => error instanceof Kind)
}

/** A failure of ours takes the place of the handler's answer, wherever it was thrown. */
function withdrawAnswer (seat: Seat | null, reply: FastifyReply, error: unknown): void {
  if (!isOurs(error)) return
  for (const name of ANSWER_HEADERS) reply.removeHeader(name)
  // A failure may carry a token all the same.
  if (seat?.kind === 'open' && seat.hasSent) reply.header('cache-control', 'no-store')
  if (error instanceof errors.Unavailable) reply.header('retry-after', RETRY_AFTER_SECONDS)
}

async function warnOfLosses (seat: Seat | null, request: FastifyRequest): Promise<void> {
  if (seat?.kind !== 'open' || seat.visit === undefined) return
  await seat.visit.idle()
  const { state } = seat.visit
  const loggableId = state.key
  if (seat.visit.isUnsaved(!seat.told || seat.isStream)) request.log.warn({ loggableId }, LOST_CHANGES)
  if (seat.told && typeof state.delivery.token === 'object') request.log.warn({ loggableId }, LOST_TOKEN)
}

/** A payload that is not sent: a stream of either kind is not left open. */
function discard (payload: unknown): void {
  if (payload instanceof Response) discard(payload.body)
  else if (payload instanceof ReadableStream) payload.cancel().catch(() => {})
  else if (typeof payload === 'object' && payload !== null && 'destroy' in payload && typeof payload.destroy === 'function') payload.destroy()
}
