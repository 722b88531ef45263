import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { OpenReport } from '../types/events.js'
import type { Session } from '../types/session.js'
import { discard, noteUse, tellBrowser, withdrawAnswer } from './answer.js'
import { createBeside } from './beside.js'
import { errors } from './errors.js'
import { noteOpening } from './journal.js'
import type { Keeper, Opened } from './keeper.js'
import { isAnswered, makeSeat, newVisit, warnOfLosses, watchConnection, type OpenSeat, type Seat } from './seat.js'
import type { Move } from './move.js'
import { hasLeft, Transport } from './transport.js'
import { hash } from './token.js'
import type { Visit } from './visit.js'

/** Opens a session when a request comes and settles it before the answer goes. */
export function addLifecycle (app: FastifyInstance, keeper: Keeper): void {
  const { sessionName } = keeper.settings
  const lifecycle = new Lifecycle(keeper)

  app.decorateRequest(sessionName, {
    getter (this: FastifyRequest): Session { return lifecycle.sessionOf(this) }
  })

  app.addHook('onRoute', ({ config }) => {
    const choice: unknown = Reflect.get(config ?? {}, sessionName)
    if (choice !== undefined && typeof choice !== 'boolean') throw new errors.BadOption(`config.${sessionName}`, 'of a route must be true or false')
  })

  // By callback where there is nothing to wait for, and else by a promise, so that Fastify hears of whatever is thrown after it.
  app.addHook('onRequest', (request, reply, done) => lifecycle.begin(request, reply) ?? done())
  app.addHook('onSend', (request, reply, payload, done) => lifecycle.answer(request, reply, payload) ?? done(null, payload))
  app.addHook('onError', async (request, reply, error) => { lifecycle.fail(request, reply, error) })
  app.addHook('onResponse', (request, _reply, done) => lifecycle.end(request) ?? done())
}

/** What is done with the session of a request at each of its turns. */
class Lifecycle {
  readonly #keeper: Keeper
  readonly #transport: Transport
  // Beside the requests, not in them: whatever prints a request, by whatever means, finds no id and no value.
  readonly #seats = createBeside<Seat>()

  constructor (keeper: Keeper) {
    this.#keeper = keeper
    this.#transport = new Transport(keeper.settings)
  }

  sessionOf (request: FastifyRequest): Session {
    const { sessionName } = this.#keeper.settings
    const seat = this.#seats.get(request)
    if (seat === undefined) throw new errors.NotOpen(sessionName)
    if (seat.kind === 'disabled') throw new errors.Disabled(sessionName, sessionName)
    if (seat.kind === 'failed') throw seat.error
    seat.visit ??= newVisit(this.#keeper, seat, request)
    if (!seat.used) noteUse(seat, this.#transport)
    return seat.visit.session
  }

  begin (request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
    if (Reflect.get(request.routeOptions.config, this.#keeper.settings.sessionName) === false) {
      this.#seats.set(request, { kind: 'disabled' })
      return undefined
    }
    const arrival = this.#transport.read(request.headers)
    if (arrival.isAmbiguous) this.#keeper.noticeAmbiguous(request.log)
    const seat = makeSeat(reply, arrival)
    const take = (): void => {
      this.#seats.set(request, seat)
      watchConnection(seat, request)
    }
    const id = arrival.token?.id
    const key = id === undefined ? undefined : hash(id)
    const opened = id === undefined || key === undefined ? this.#import(seat, request) : this.#open(seat, id, key, request)
    if (opened === undefined) {
      take()
      noteFound(seat, undefined, undefined, request)
      return undefined
    }
    return opened.catch((error: Error) => this.#openWithout(error, key, request)).then(found => {
      seat.visit = found?.visit
      seat.ended = found?.ended
      take()
      noteFound(seat, found, key, request)
    }, (error: unknown) => {
      this.#seats.set(request, { kind: 'failed', error })
      noteOpening(request.log, 'failed', seat.arrival.way, key)
      throw error
    })
  }

  answer (request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> | undefined {
    const seat = this.#seats.get(request)
    if (seat?.kind === 'failed') this.#transport.vary(reply)
    if (seat?.kind !== 'open') return undefined
    seat.isStream = typeof payload === 'object' && payload !== null && !Buffer.isBuffer(payload)
    if (seat.visit === undefined) {
      this.#tell(seat, request)
      return undefined
    }
    return this.#settle(seat, seat.visit, request).then(() => payload, (error: unknown) => {
      discard(payload)
      throw error
    })
  }

  fail (request: FastifyRequest, reply: FastifyReply, error: unknown): void {
    withdrawAnswer(this.#seats.get(request), reply, error)
  }

  end (request: FastifyRequest): Promise<void> | undefined {
    const seat = this.#seats.get(request)
    // Over HTTP/2, the hook runs for a client that leaves, too.
    if (seat?.kind === 'open' && !isAnswered(seat)) return undefined
    return warnOfLosses(seat, request)
  }

  #open (seat: OpenSeat, id: string, key: string, request: FastifyRequest): Promise<Opened | undefined> {
    const { importer } = this.#keeper
    const beside = importer?.beside(request.headers, key, request.log)
    seat.move = beside?.move
    const opened = this.#keeper.open(id, key, request.log, this.#transport.traces(seat.arrival, key), beside?.tools)
    if (importer === undefined) return opened
    // A replaced session has a successor, whose token that of another one would overwrite.
    return opened.then(found => found.ended === undefined || found.ended === 'replaced' ? found : this.#import(seat, request)?.then(moved => moved ?? found) ?? found)
  }

  /** The session of an old token of another store. Where tokens of ours disagree, somebody may have planted more than those. */
  #import (seat: OpenSeat, request: FastifyRequest): Promise<Opened | undefined> | undefined {
    const { importer, settings } = this.#keeper
    if (importer === undefined || seat.arrival.isAmbiguous) return undefined
    const found = importer.find(request.headers, request.log)
    if (found.length === 0) return undefined
    return importer.open(found, request.log).then(moved => {
      if (moved === undefined) return undefined
      seat.move = moved.move
      if (moved.way === 'header' && settings.header !== undefined) seat.arrival = { ...seat.arrival, way: 'header' }
      return { visit: moved.visit, ended: undefined }
    })
  }

  /** What a request has whose session cannot be read, where it may go on without. */
  #openWithout (error: Error, loggableId: string | undefined, { log }: FastifyRequest): Opened {
    if (this.#keeper.settings.readFailure === 'error' || !(error instanceof errors.Unavailable)) throw error
    log.warn({ err: error, loggableId }, 'A session cannot be read, so its request goes on without')
    return { visit: this.#keeper.unread(log, error), ended: undefined }
  }

  async #settle (seat: OpenSeat, visit: Visit, request: FastifyRequest): Promise<void> {
    try {
      await visit.settle(seat.reply.statusCode >= 500 && !this.#keeper.settings.saveOnServerError)
    } finally {
      await (seat.move === undefined ? this.#tell(seat, request) : this.#finishMove(seat, seat.move, visit, request))
    }
  }

  async #finishMove (seat: OpenSeat, move: Move, visit: Visit, request: FastifyRequest): Promise<void> {
    try {
      seat.isMoved ||= await this.#keeper.importer?.finish(move, visit, hasLeft(seat.reply), request.log) === true
    } finally {
      await this.#tell(seat, request)
    }
  }

  #tell (seat: OpenSeat, request: FastifyRequest): Promise<void> | undefined {
    tellBrowser(seat, this.#keeper.settings, this.#transport, request)
    return hasLeft(seat.reply) ? warnOfLosses(seat, request) : undefined
  }
}

/** What a request has found under its token. Of one that brought none nothing is told, unless it had one of another store. */
function noteFound ({ arrival: { came, isAmbiguous, way } }: OpenSeat, found: Opened | undefined, key: string | undefined, { log }: FastifyRequest): void {
  if (found !== undefined) noteOpening(log, outcomeOf(found, key), way, found.visit.state.key ?? key)
  else if (came) noteOpening(log, isAmbiguous ? 'ambiguous' : 'forged', way, undefined)
}

function outcomeOf ({ visit: { state }, ended }: Opened, key: string | undefined): OpenReport['outcome'] {
  if (ended !== undefined) return ended
  if (state.unread !== undefined) return 'failed'
  if (state.record === undefined) return 'missing'
  return state.record.key === key ? 'found' : 'moved'
}
