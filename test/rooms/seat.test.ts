import { EventEmitter } from 'node:events'
import { setImmediate as tick } from 'node:timers/promises'
import type { FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { newVisit, warnOfLosses, watchConnection, type OpenSeat } from '../../lib/seat.js'
import { setKeeper } from '../support/memory.js'
import '../support/session-data.js'

/** A seat of a request without a token, with its connection in hand. */
function setUp () {
  const stage = setKeeper()
  const raw = new EventEmitter()
  const reply = { raw, sent: false }
  const request = { log: stage.log } as unknown as FastifyRequest
  const seat: OpenSeat = {
    kind: 'open',
    reply: reply as unknown as FastifyReply,
    arrival: { way: 'cookie', came: false, token: undefined, companions: [], isAmbiguous: false },
    visit: undefined,
    ended: undefined,
    move: undefined,
    isMoved: false,
    used: false,
    told: false,
    hasSent: false,
    isStream: false,
    isOver: false
  }
  const look = async (): Promise<string[]> => {
    for (let count = 0; count < 5; count++) await tick()
    return stage.log.messages.splice(0).map(message => message.slice(0, 30))
  }
  return { ...stage, raw, reply, request, seat, look }
}

const LOST = 'Changes of a session were lost'
const LATE = 'A session was changed after it'

t.test('a request ends once, however often it is said', async t => {
  const { keeper, seat, request, look } = setUp()
  seat.visit = newVisit(keeper, seat, request)
  seat.visit.session.set('userId', 'u')
  await warnOfLosses(seat, request)
  await warnOfLosses(seat, request)
  t.strictSame(await look(), [LOST])
  t.equal(seat.isOver, true)
})

t.test('without a session, with one switched off or one that failed, there is nothing to lose', async t => {
  const { seat, request, look } = setUp()
  await warnOfLosses(undefined, request)
  await warnOfLosses({ kind: 'disabled' }, request)
  await warnOfLosses({ kind: 'failed', error: new Error('x') }, request)
  await warnOfLosses(seat, request)
  t.strictSame(await look(), [])
})

t.test('a connection that closes ends the request, unless its handler is still to be settled', async t => {
  for (const [told, sent, expected] of [[true, false, LOST], [false, true, LOST], [false, false, undefined]] as const) {
    const { keeper, seat, request, reply, raw, look } = setUp()
    watchConnection(seat, request)
    seat.visit = newVisit(keeper, seat, request)
    seat.visit.session.set('userId', 'u')
    seat.told = told
    seat.isStream = told
    reply.sent = sent
    raw.emit('close')
    t.strictSame(await look(), expected === undefined ? [] : [expected])
    t.equal(seat.isOver, expected !== undefined)
  }
})

t.test('a session that is first asked for after the end is watched from the start', async t => {
  const { keeper, seat, request, look } = setUp()
  await warnOfLosses(seat, request)
  const { session } = newVisit(keeper, seat, request)
  t.strictSame(await look(), [])
  session.set('userId', 'u')
  t.strictSame(await look(), [LATE])
  session.set('count', 1)
  t.strictSame(await look(), [], 'once')
})
