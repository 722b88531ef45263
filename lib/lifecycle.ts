import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Session } from '../types/session.js'
import { errors, RETRY_AFTER_SECONDS } from './errors.js'
import type { GoneReason } from './events.js'
import type { Keeper } from './keeper.js'
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
}

/** What a failure of ours takes away: they describe an answer that is not sent. */
const ANSWER_HEADERS = ['etag', 'location', 'cache-control']

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

  app.addHook('onRequest', async (request, reply) => {
    if (Reflect.get(request.routeOptions.config, sessionName) === false) {
      seats.take(request, { kind: 'disabled' })
      return
    }
    try {
      seats.take(request, await openSeat(keeper, transport, request))
    } catch (error) {
      seats.take(request, { kind: 'failed', error })
      askToRetry(reply, error)
      throw error
    }
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const seat = seats.of(request)
    if (seat?.kind !== 'open') return payload
    try {
      await seat.visit?.settle(reply.statusCode >= 500 && !settings.saveOnServerError)
    } catch (error) {
      withdrawAnswer(reply, payload)
      askToRetry(reply, error)
      throw error
    } finally {
      tellBrowser(seat, keeper, transport, request, reply)
    }
    return payload
  })

  app.addHook('onResponse', async request => {
    const seat = seats.of(request)
    if (seat?.kind !== 'open' || seat.visit === undefined) return
    const { state } = seat.visit
    if (!state.isUnsaved()) return
    request.log.warn({ loggableId: state.key }, 'Changes of a session were lost: they were made after the answer began, or on a reply that was hijacked. Call session.save() there')
  })
}

async function openSeat (keeper: Keeper, transport: Transport, request: FastifyRequest): Promise<OpenSeat> {
  const arrival = transport.read(request.headers)
  if (arrival.token === undefined) return { kind: 'open', arrival, visit: undefined, ended: undefined, used: false, told: false }
  const { id } = arrival.token
  const key = hash(id)
  const { visit, ended } = await keeper.open(id, key, request.log, transport.writtenVersion(arrival, key))
  return { kind: 'open', arrival, visit, ended, used: false, told: false }
}

/** The headers of an answer, after the table agreed. Once: Fastify keeps them when it runs onSend again for an error. */
function tellBrowser (seat: OpenSeat, keeper: Keeper, transport: Transport, request: FastifyRequest, reply: FastifyReply): void {
  if (seat.told) return
  seat.told = true
  const { arrival: { way, came }, visit } = seat
  if (visit !== undefined) {
    const delivery = visit.takeDelivery()
    const { state: { record }, session, cookie } = visit
    const step = tokenStep(seat, visit, delivery, request)
    if (step === 'send') transport.sendToken(request, reply, way, cookie, session.token ?? '', cookieLife(visit, keeper.settings.now() / 1000))
    if (step === 'clear') transport.sendToken(request, reply, way, cookie, '', 0)
    if (delivery.wrote === true && record !== undefined && !keeper.settings.consistentRead) {
      transport.sendCompanion(request, reply, way, cookie, record.key, record.version)
    }
  }
  if (seat.used || came || reply.hasHeader('set-cookie')) transport.vary(reply)
}

/** Whether a token is sent or cleared. Nothing else than these steps ever does, so that no late answer undoes a newer one. */
function tokenStep (seat: OpenSeat, visit: Visit, delivery: Delivery, request: FastifyRequest): Delivery['token'] {
  const { arrival } = seat
  if (delivery.token === 'clear') return arrival.came ? 'clear' : undefined
  if (delivery.token === 'send' || isOutdated(seat, visit)) return 'send'
  return isLeftOver(seat, request) ? 'clear' : undefined
}

/** A living session under a token that an old secret signed. */
function isOutdated ({ arrival: { token } }: OpenSeat, { state: { record } }: Visit): boolean {
  return token?.outdated === true && record !== undefined
}

/**
 * Whether a cookie without a session is to be cleared. Only a top-level navigation does so: the answer of a background
 * request may come late and would put out a token that was set meanwhile. A replaced session has a successor, whose token
 * may be on its way.
 */
function isLeftOver ({ arrival, ended }: OpenSeat, request: FastifyRequest): boolean {
  if (arrival.way !== 'cookie' || ended === undefined || ended === 'replaced') return false
  return request.headers['sec-fetch-mode'] === 'navigate'
}

/** A cookie's life counts from the creation of its session: what remains of it. */
function cookieLife ({ state, cookie }: Visit, now: number): number | undefined {
  const maxAge = state.own.cookieMaxAge ?? cookie.maxAge
  if (maxAge === undefined || state.record === undefined) return undefined
  return Math.max(1, Math.floor(state.record.createdAt + maxAge - now))
}

function askToRetry (reply: FastifyReply, error: unknown): void {
  if (error instanceof errors.Unavailable) reply.header('retry-after', RETRY_AFTER_SECONDS)
}

/** A failure takes the place of the handler's answer: headers that describe it go, and a stream is not left open. */
function withdrawAnswer (reply: FastifyReply, payload: unknown): void {
  for (const name of ANSWER_HEADERS) reply.removeHeader(name)
  if (typeof payload === 'object' && payload !== null && 'destroy' in payload && typeof payload.destroy === 'function') payload.destroy()
}
