import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Session } from '../types/session.js'
import { discard, noteUse, tellBrowser, withdrawAnswer } from './answer.js'
import { errors } from './errors.js'
import type { Keeper } from './keeper.js'
import { newVisit, warnOfLosses, watchConnection, type OpenSeat, type Seat } from './seat.js'
import { Transport } from './transport.js'
import { hash } from './token.js'

/** Opens a session when a request comes and settles it before the answer goes. */
export function addLifecycle (app: FastifyInstance, keeper: Keeper): void {
  const { settings } = keeper
  const { sessionName } = settings
  const transport = new Transport(settings)
  // Beside the requests, not in them: whatever prints a request, by whatever means, finds no id and no value.
  const seats = new WeakMap<FastifyRequest, Seat>()

  app.decorateRequest(sessionName, {
    getter (this: FastifyRequest): Session {
      const seat = seats.get(this)
      if (seat === undefined) throw new errors.NotOpen(sessionName)
      if (seat.kind === 'disabled') throw new errors.Disabled(sessionName, sessionName)
      if (seat.kind === 'failed') throw seat.error
      seat.visit ??= newVisit(keeper, seat, this)
      if (!seat.used) noteUse(seat, transport)
      return seat.visit.session
    }
  })

  app.addHook('onRoute', ({ config }) => {
    const choice: unknown = Reflect.get(config ?? {}, sessionName)
    if (choice !== undefined && typeof choice !== 'boolean') throw new errors.BadOption(`config.${sessionName}`, 'of a route must be true or false')
  })

  app.addHook('onRequest', async (request, reply) => {
    if (Reflect.get(request.routeOptions.config, sessionName) === false) {
      seats.set(request, { kind: 'disabled' })
      return
    }
    try {
      const seat = await openSeat(keeper, transport, request, reply)
      seats.set(request, seat)
      watchConnection(seat, request)
    } catch (error) {
      seats.set(request, { kind: 'failed', error })
      throw error
    }
  })

  app.addHook('onSend', async (request, reply, payload) => {
    const seat = seats.get(request)
    if (seat?.kind === 'failed') transport.vary(reply)
    if (seat?.kind !== 'open') return payload
    try {
      await seat.visit?.settle(reply.statusCode >= 500 && !settings.saveOnServerError)
    } catch (error) {
      discard(payload)
      throw error
    } finally {
      seat.isStream = typeof payload === 'object' && payload !== null && !Buffer.isBuffer(payload)
      tellBrowser(seat, settings, transport, request)
      if (reply.raw.destroyed) await warnOfLosses(seat, request)
    }
    return payload
  })

  app.addHook('onError', async (request, reply, error) => { withdrawAnswer(seats.get(request), reply, error) })
  app.addHook('onResponse', async request => { await warnOfLosses(seats.get(request), request) })
}

async function openSeat (keeper: Keeper, transport: Transport, request: FastifyRequest, reply: FastifyReply): Promise<OpenSeat> {
  const arrival = transport.read(request.headers)
  const seat: OpenSeat = {
    kind: 'open', reply, arrival, visit: undefined, ended: undefined, used: false, told: false, hasSent: false, isStream: false, isOver: false
  }
  if (arrival.isAmbiguous) keeper.noticeAmbiguous(request.log)
  if (arrival.token === undefined) return seat
  const { id } = arrival.token
  const key = hash(id)
  try {
    return Object.assign(seat, await keeper.open(id, key, request.log, transport.writtenVersion(arrival, key)))
  } catch (error) {
    if (keeper.settings.readFailure === 'error' || !(error instanceof errors.Unavailable)) throw error
    request.log.warn({ err: error, loggableId: key }, 'A session cannot be read, so its request goes on without')
    return Object.assign(seat, { visit: keeper.unread(request.log, error) })
  }
}
