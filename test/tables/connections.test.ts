import t, { type Test } from 'tap'
import { once, type EventEmitter } from 'node:events'
import { stat } from 'node:fs'
import { Socket } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import * as undici from 'undici'
import { Connections, type Call, type Connection, type Limits } from '../../lib/connections.js'
import { makeGate } from '../support/gate.js'
import { startSilence, type BytesServer } from '../support/bytes.js'
import { startGated, startService } from '../support/service.js'

const LONG = 60_000

function connectTo (t: Test, endpoint: string, limits: Partial<Limits> = {}): Connections {
  const connections = new Connections(endpoint, undici, { most: 2, idle: LONG, making: LONG, ...limits })
  t.teardown(() => { connections.destroy() })
  return connections
}

/** A call that notes what happens to it. */
class Noted implements Call {
  readonly request
  connection: Connection | undefined
  outcome = 'none'
  readonly ended: Promise<string>
  #end: (outcome: string) => void = () => {}

  constructor (body: string, headers: Record<string, string> = {}) {
    this.request = { path: '/', method: 'POST', headers, body } as const
    this.ended = new Promise(resolve => { this.#end = resolve })
  }

  onConnection (connection: Connection): void { this.connection = connection }
  onRequestStart (): void {}
  onResponseStart (): void {}
  onResponseData (): void {}
  onResponseEnd (): void { this.#note('answered') }
  onResponseError (_controller: unknown, error: Error & { code?: string }): void { this.fail(error) }
  fail (error: Error & { code?: string }): void { this.#note(error.code ?? error.message) }
  get isOver (): boolean { return this.outcome !== 'none' }

  #note (outcome: string): void {
    this.outcome = outcome
    this.#end(outcome)
  }
}

function send (connections: Connections, body: string, headers?: Record<string, string>): Noted {
  const call = new Noted(body, headers)
  connections.send(call)
  return call
}

t.test('no more connections than may be, and who finds none free is sent when one is, in the order of coming', async t => {
  const service = await startGated(t)
  const connections = connectTo(t, service.endpoint)
  const calls = Array.from({ length: 8 }, (_, count) => send(connections, String(count)))
  while (service.seen.length < 2) await nextTurn()
  t.equal(calls.filter(({ connection }) => connection !== undefined).length, 2)
  service.open()
  t.same(await Promise.all(calls.map(async call => await call.ended)), calls.map(() => 'answered'))
  // Two at a time may overtake each other, and nobody else.
  for (const [place, { body }] of service.seen.entries()) t.ok(Math.abs(place - Number(body)) < 2, `${body} was number ${place}`)
  t.equal(service.connections, 2)
})

t.test('a call that was given up while it waited is never sent, and nothing of it is kept', async t => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const service = await startGated(t)
  const connections = connectTo(t, service.endpoint)
  const others = ['a', 'b'].map(body => send(connections, body))
  const given = Array.from({ length: 100 }, () => {
    const call = send(connections, 'given up')
    connections.forget(call)
    return new WeakRef(call)
  })
  // What a turn has looked at lives to its end.
  for (let turn = 0; turn < 20 && given.some(ref => ref.deref() !== undefined); turn++) {
    await nextTurn()
    collect()
  }
  t.equal(given.filter(ref => ref.deref() !== undefined).length, 0)
  service.open()
  await Promise.all(others.map(async call => await call.ended))
  t.same(service.seen.map(({ body }) => body).sort(), ['a', 'b'])
})

t.test('a request that undici refuses as it is fails, and takes no place from others', async t => {
  const service = await startGated(t)
  service.open()
  const connections = connectTo(t, service.endpoint)
  const damaged = { 'x-amz-security-token': 'a\nb' }
  // On connections that were never made, on one that is free, and while others wait.
  for (let count = 0; count < 5; count++) t.equal(send(connections, 'x', damaged).outcome, 'UND_ERR_INVALID_ARG')
  await send(connections, 'first').ended
  t.equal(send(connections, 'x', damaged).outcome, 'UND_ERR_INVALID_ARG')
  const calls = ['a', 'b', 'c'].map((body, place) => send(connections, body, place === 1 ? damaged : {}))
  const waiting = send(connections, 'd', damaged)
  const last = send(connections, 'e')
  t.same(await Promise.all([...calls, waiting, last].map(async call => await call.ended)),
    ['answered', 'UND_ERR_INVALID_ARG', 'answered', 'UND_ERR_INVALID_ARG', 'answered'])
  t.same(service.seen.map(({ body }) => body).sort(), ['a', 'c', 'e', 'first'])
  t.ok(service.connections <= 3)
})

t.test('a connection is given out once, also where undici says again that it is free', async t => {
  const clients: undici.Client[] = []
  class Noisy extends undici.Client {
    constructor (...args: ConstructorParameters<typeof undici.Client>) {
      super(...args)
      clients.push(this)
    }
  }
  const sayAgain = (): void => { for (const client of clients) (client as EventEmitter).emit('drain', new URL(service.endpoint), [client]) }
  const gate = makeGate()
  const service = await startService(t, async ({ body }) => {
    if (body !== 'first') await gate.passed
    return {}
  })
  const connections = new Connections(service.endpoint, { ...undici, Client: Noisy }, { most: 2, idle: LONG, making: LONG })
  t.teardown(() => { connections.destroy() })
  await send(connections, 'first').ended
  // While it is free, and while it is busy.
  await nextTurn()
  sayAgain()
  const calls = [send(connections, 'a')]
  sayAgain()
  calls.push(send(connections, 'b'), send(connections, 'c'))
  while (service.seen.length < 3) await nextTurn()
  t.same([service.connections, calls.map(({ connection }) => connection !== undefined)], [2, [true, true, false]])
  gate.open()
  t.same(await Promise.all(calls.map(async call => await call.ended)), ['answered', 'answered', 'answered'])
})

t.test('any number of those who wait may be refused at once', async t => {
  const service = await startGated(t)
  const damaged = { 'x-amz-security-token': 'a\nb' }
  const refused = (connections: Connections): Noted[] => Array.from({ length: 10_000 }, () => send(connections, 'x', damaged))
  const connections = connectTo(t, service.endpoint, { most: 1 })
  const first = send(connections, 'first')
  const [calls, last] = [refused(connections), send(connections, 'last')]
  service.open()
  t.same(await Promise.all([first, last].map(async call => await call.ended)), ['answered', 'answered'])
  t.equal(calls.filter(({ outcome }) => outcome !== 'UND_ERR_INVALID_ARG').length, 0)
  const none = connectTo(t, 'http://127.0.0.1:1', { most: 1 })
  const lost = [send(none, 'first'), ...refused(none), send(none, 'last')]
  t.same(new Set(await Promise.all(lost.map(async call => await call.ended))), new Set(['ECONNREFUSED', 'UND_ERR_INVALID_ARG']))
})

t.test('a port that refuses: each call has its try, also those that waited', async t => {
  const connections = connectTo(t, 'http://127.0.0.1:1')
  const calls = Array.from({ length: 10 }, (_, count) => send(connections, String(count)))
  t.same(await Promise.all(calls.map(async call => await call.ended)), calls.map(() => 'ECONNREFUSED'))
})

t.test('a connection that the service closes while it is free makes room for another', async t => {
  const service = await startGated(t)
  service.open()
  const connections = connectTo(t, service.endpoint, { most: 1 })
  for (let count = 1; count <= 3; count++) {
    await send(connections, 'x').ended
    t.equal(service.connections, count)
    const [socket] = service.sockets
    const closed = once(socket as Socket, 'close')
    // Once it has rested, it is free.
    await nextTurn()
    await nextTurn()
    socket?.end()
    await closed
  }
})

t.test('one that ends with its answer does as well', async t => {
  const service = await startService(t, () => ({ headers: { connection: 'close' } }))
  const connections = connectTo(t, service.endpoint, { most: 1 })
  const calls = ['a', 'b', 'c'].map(body => send(connections, body))
  t.same(await Promise.all(calls.map(async call => await call.ended)), ['answered', 'answered', 'answered'])
  t.equal(service.connections, 3)
})

t.test('where one has ended and one is open, the open one is used', async t => {
  const gates = [makeGate(), makeGate()] as const
  const service = await startService(t, async (_seen, count) => {
    await gates[count - 1]?.passed
    return count === 2 ? { headers: { connection: 'close' } } : {}
  })
  const connections = connectTo(t, service.endpoint)
  const calls = ['a', 'b'].map(body => send(connections, body))
  for (const [place, gate] of gates.entries()) {
    while (service.seen.length < 2) await nextTurn()
    gate.open()
    await calls.find(({ request }) => request.body === service.seen[place]?.body)?.ended
    for (let turn = 0; turn < 5; turn++) await nextTurn()
  }
  while (service.sockets.size > 1) await nextTurn()
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  t.equal(await send(connections, 'c').ended, 'answered')
  t.equal(service.connections, 2)
})

t.test('a process that stood still uses no connection that became too old meanwhile', async t => {
  const idle = 600
  const service = await startGated(t)
  const connections = connectTo(t, service.endpoint, { idle })
  const calls = ['a', 'b'].map(body => send(connections, body))
  while (service.seen.length < 2) await nextTurn()
  service.open()
  await Promise.all(calls.map(async call => await call.ended))
  await nextTurn()
  await nextTurn()
  await send(connections, 'young').ended
  t.equal(service.connections, 2)
  await nextTurn()
  await nextTurn()
  // As in a function that was frozen: its next call comes of what it reads from a socket, and no timer has had its turn before.
  await new Promise(resolve => { stat('.', resolve) })
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, idle + 100)
  t.equal(await send(connections, 'old').ended, 'answered')
  t.equal(service.connections, 3)
  while (service.sockets.size > 1) await nextTurn()
  t.pass('and those are closed')
})

/** Says nothing, so that no connection with TLS is ever made. */
async function startHole (t: Test): Promise<BytesServer> {
  const server = await startSilence(t)
  return { ...server, endpoint: server.endpoint.replace('http:', 'https:') }
}

t.test('a connection that is being made ends when who asked for it gives up, and makes room for who waits', async t => {
  const { endpoint, open } = await startHole(t)
  const connections = connectTo(t, endpoint, { most: 1 })
  const [first, second] = [send(connections, 'a'), send(connections, 'b')]
  while (open.size < 1) await nextTurn()
  const [socket] = open
  t.equal(second.connection, undefined)
  first.connection?.abandon(new Error('enough'))
  t.equal(await first.ended, 'enough')
  t.not(second.connection, undefined)
  while (open.has(socket as Socket) || open.size < 1) await nextTurn()
  t.equal(second.outcome, 'none')
})

t.test('one that nobody gives up ends by its own limit', async t => {
  const { endpoint } = await startHole(t)
  t.equal(await send(connectTo(t, endpoint, { making: 1 }), 'a').ended, 'UND_ERR_CONNECT_TIMEOUT')
})

t.test('destroyed, it ends what waits, what is on its way and what is being made', async t => {
  const { endpoint, open } = await startHole(t)
  const service = await startGated(t)
  const [making, busy] = [connectTo(t, endpoint, { most: 1 }), connectTo(t, service.endpoint, { most: 1 })]
  const calls = [making, making, busy, busy].map(connections => send(connections, 'x'))
  while (open.size < 1 || service.seen.length < 1) await nextTurn()
  making.destroy()
  busy.destroy()
  t.same(await Promise.all(calls.map(async call => await call.ended)), calls.map(() => 'UND_ERR_DESTROYED'))
  while (open.size + service.sockets.size > 0) await nextTurn()
  t.pass('every socket is closed')
})
