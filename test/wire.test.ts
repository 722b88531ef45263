import t, { type Test } from 'tap'
import { getEventListeners, once } from 'node:events'
import { Socket } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb'
import { findStops, handStop, Stop, stoppable } from '../lib/stop.js'
import { Wire, type WireRequest } from '../lib/wire.js'
import { startBytes } from './support/bytes.js'
import { clientConfig } from './support/engines.js'
import { makeGate } from './support/gate.js'
import { timed } from './support/limit.js'
import { startGated, startService } from './support/service.js'

/** Milliseconds. This room waits for signs of life, so here time is real. */
const SHORT = 150
const LONG = 60_000

function makeWire (t: Test, silence = LONG, most?: number): Wire {
  const wire = new Wire(silence, most)
  t.teardown(() => { wire.destroy() })
  return wire
}

/** What the SDK would send: the parts that a transport reads. */
function requestTo (endpoint: string, parts: Record<string, unknown> = {}): WireRequest {
  const { protocol, hostname, port } = new URL(endpoint)
  return { protocol, hostname, port: Number(port), method: 'POST', path: '/', query: {}, headers: { host: `${hostname}:${port}` }, body: '{}', ...parts }
}

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n'

/** A wire of which every connection waits for its answer. */
async function occupyAll (t: Test) {
  const service = await startGated(t)
  const wire = makeWire(t)
  const others = Array.from({ length: 256 }, async () => await wire.handle(requestTo(service.endpoint)))
  while (service.seen.length < 256) await nextTurn()
  return { service, wire, others }
}

/** A request that a test can stop, as the plugin's calls are. */
function stoppableRequest (endpoint: string): { request: WireRequest, stop: Stop } {
  const [stop, client, input, request] = [new Stop(), {}, {}, requestTo(endpoint)]
  findStops(client)
  stoppable(client, input, stop)
  handStop(input, request)
  return { request, stop }
}

t.test('an answer is whole when it is given out, however many pieces it came in', async t => {
  const { endpoint } = await startBytes(t, socket => {
    socket.once('data', () => {
      socket.write(`${HEAD}one `)
      setTimeout(() => socket.write('two '), 20)
      setTimeout(() => socket.write('four'), 40)
    })
  })
  const { response } = await makeWire(t).handle(requestTo(endpoint))
  t.same([response.statusCode, Buffer.from(response.body).toString()], [200, 'one two four'])
})

t.test('an answer without a body has an empty one', async t => {
  const { endpoint } = await startBytes(t, socket => { socket.on('data', () => socket.write('HTTP/1.1 204 No Content\r\n\r\n')) })
  const { response } = await makeWire(t).handle(requestTo(endpoint))
  t.same([response.statusCode, response.body.length], [204, 0])
})

t.test('what goes out is what the SDK signed: method, path, query, headers and body', async t => {
  const service = await startService(t)
  const wire = makeWire(t)
  const query = { b: 'x y', 'a!': ['1', '(2)'], none: null }
  await wire.handle(requestTo(service.endpoint, { path: '/v1/', query, headers: { 'x-amz-target': 'GetItem' }, body: Buffer.from('{"a":"ä"}') }))
  await wire.handle(requestTo(service.endpoint, { query: undefined }))
  t.match(service.seen, [
    { url: '/v1/?b=x%20y&a%21=1&a%21=%282%29&none=', headers: { 'x-amz-target': 'GetItem', 'content-length': '10' }, body: '{"a":"ä"}' },
    { url: '/', body: '{}' }
  ])
})

t.test('a header that comes twice is one for the SDK', async t => {
  const service = await startService(t, () => ({ headers: { 'x-twice': ['a', 'b'] } }))
  const { response } = await makeWire(t).handle(requestTo(service.endpoint))
  t.match(response.headers, { 'x-twice': 'a, b', 'content-type': 'application/x-amz-json-1.0' })
})

t.test('a host without a port is the port of its protocol', async t => {
  await t.rejects(makeWire(t).handle(requestTo('http://127.0.0.1:1', { port: undefined })), { code: 'ECONNREFUSED', port: 80 })
})

// undici rests a connection for a turn of the event loop, so calls on each other's heels take two.
t.test('one call after the other goes over the same connections', async t => {
  const service = await startService(t)
  const wire = makeWire(t)
  for (let count = 0; count < 20; count++) await wire.handle(requestTo(service.endpoint))
  t.equal(service.seen.length, 20)
  t.ok(service.connections <= 2, `${service.connections} connections`)
})

t.test('a connection that the service closed while nobody used it costs no attempt', async t => {
  const service = await startService(t)
  const wire = makeWire(t)
  await wire.handle(requestTo(service.endpoint))
  const closed = [...service.sockets].map(async socket => { await once(socket.end(), 'close') })
  await Promise.all(closed)
  // The end has arrived at the other side as well, when another connection has made its way.
  await startBytes(t, () => {})
  await nextTurn()
  await wire.handle(requestTo(service.endpoint))
  t.same([service.seen.length, service.connections], [2, 2])
})

t.test('connections are bounded, and who finds none free waits for one', async t => {
  const gate = makeGate()
  let most = 0
  const service = await startService(t, async () => {
    most = Math.max(most, service.sockets.size)
    await gate.passed
    return {}
  })
  const wire = makeWire(t)
  const calls = Array.from({ length: 300 }, async () => await wire.handle(requestTo(service.endpoint)))
  while (service.seen.length < 256) await nextTurn()
  gate.open()
  const answers = await Promise.all(calls)
  t.same([answers.length, most, service.connections], [300, 256, 256])
})

/** How many sockets of this process were open at once, at most, and how many there were. */
function countSockets (t: Test): { most: number, all: number } {
  const sockets: Socket[] = []
  const counts = { most: 0, all: 0 }
  const { connect } = Socket.prototype
  t.intercept(Socket.prototype, 'connect', {
    value: function (this: Socket, ...args: Parameters<typeof connect>) {
      sockets.push(this)
      counts.all += 1
      counts.most = Math.max(counts.most, sockets.filter(({ destroyed }) => !destroyed).length)
      return connect.apply(this, args)
    }
  })
  return counts
}

t.test('connections are bounded also while none can be made, and each call has a try of its own', async t => {
  const CALLS = 600
  // Where bytes are taken and never answered, no connection over TLS is made.
  const hole = await startBytes(t, () => {})
  for (const [way, endpoint, expected] of [
    ['a black hole', hole.endpoint.replace('http', 'https'), `No sign of life for ${SHORT} ms.`],
    ['a port that refuses', 'http://127.0.0.1:1', 'connect ECONNREFUSED 127.0.0.1:1']
  ] as const) {
    await t.test(way, async t => {
      const counts = countSockets(t)
      const wire = makeWire(t, SHORT)
      const calls = Array.from({ length: CALLS }, async () => await wire.handle(requestTo(endpoint)).then(() => 'an answer', (error: Error) => error.message))
      t.same(new Set(await Promise.all(calls)), new Set([expected]))
      t.same(counts, { most: 256, all: CALLS })
    })
  }

  await t.test('when the service is back, so are the connections', async t => {
    let isBack = false
    const { endpoint } = await startBytes(t, socket => {
      // No TLS, which is an answer nevertheless.
      if (isBack) socket.once('data', () => socket.end('no'))
    })
    const wire = makeWire(t, SHORT, 4)
    const call = async (): Promise<string> => await wire.handle(requestTo(endpoint.replace('http', 'https'))).then(() => 'an answer', (error: Error) => error.name)
    t.same(new Set(await Promise.all(Array.from({ length: 12 }, call))), new Set(['TimeoutError']))
    isBack = true
    t.same(new Set(await Promise.all(Array.from({ length: 12 }, call))), new Set(['Error']))
  })
})

t.test('to wait for a free connection is no silence, however long it takes', async t => {
  const silence = 300
  const gate = makeGate()
  const { endpoint } = await startBytes(t, (socket, count) => {
    if (count > 1) return
    socket.once('data', () => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
      const beat = setInterval(() => socket.write('1\r\n.\r\n'), silence / 6)
      gate.passed.then(() => {
        clearInterval(beat)
        socket.write('0\r\n\r\n')
        socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
      }, () => {})
    })
  })
  const wire = makeWire(t, silence, 1)
  const first = wire.handle(requestTo(endpoint))
  const others = Array.from({ length: 5 }, async () => await wire.handle(requestTo(endpoint)))
  await sleep(3 * silence)
  gate.open()
  await first
  t.same((await Promise.all(others)).map(({ response }) => response.statusCode), [200, 200, 200, 200, 200])
})

t.test('silence is given up: before the answer, and within it', async t => {
  const silent = { 'before the answer': () => {}, 'after its head': (socket: Socket) => socket.write(HEAD), 'within its body': (socket: Socket) => socket.write(`${HEAD}one`) }
  for (const [title, speak] of Object.entries(silent)) {
    const { endpoint, sockets } = await startBytes(t, socket => { socket.once('data', () => speak(socket)) })
    const start = performance.now()
    const { isLate } = await timed(3 * SHORT, t.rejects(makeWire(t, SHORT).handle(requestTo(endpoint)), { name: 'TimeoutError', message: `No sign of life for ${SHORT} ms.` }, title))
    t.ok(performance.now() - start >= SHORT - 5 && !isLate, title)
    if (sockets[0]?.closed === false) await once(sockets[0], 'close')
    t.ok(sockets[0]?.destroyed, 'and its connection is not used again')
  }
})

t.test('a connection whose call was given up is not made anew for nobody', async t => {
  const { endpoint, sockets } = await startBytes(t, () => {})
  const wire = makeWire(t, SHORT, 1)
  for (const count of [1, 2]) {
    await t.rejects(wire.handle(requestTo(endpoint)), { name: 'TimeoutError' })
    const socket = sockets[count - 1] as Socket
    if (!socket.closed) await once(socket.resume(), 'close')
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    t.equal(sockets.length, count)
  }
})

t.test('silence while a connection is made is given up, and the next attempt makes another', async t => {
  let count = 0
  const { endpoint, sockets } = await startBytes(t, () => { count += 1 })
  const wire = makeWire(t, SHORT)
  const toTls = requestTo(endpoint.replace('http', 'https'))
  for (const expected of [1, 2]) {
    const { isLate } = await timed(3 * SHORT, t.rejects(wire.handle(toTls), { name: 'TimeoutError' }))
    t.notOk(isLate)
    t.same([count, sockets.length], [expected, expected])
  }
})

t.test('every sign of life counts: the head of the answer, and each piece of it', async t => {
  const silence = 600
  const pause = 400
  const { endpoint } = await startBytes(t, socket => {
    socket.once('data', () => {
      for (const [count, part] of [HEAD, 'one ', 'two ', 'four'].entries()) setTimeout(() => socket.write(part), (count + 1) * pause)
    })
  })
  const start = performance.now()
  const { response } = await makeWire(t, silence).handle(requestTo(endpoint))
  t.equal(Buffer.from(response.body).toString(), 'one two four')
  t.ok(performance.now() - start > 2 * silence)
})

t.test('an answer that came while the process was busy is no silence', async t => {
  const gate = makeGate()
  const service = await startService(t, async (_seen, count) => {
    if (count > 1) await gate.passed
    return {}
  })
  const wire = makeWire(t, SHORT)
  await wire.handle(requestTo(service.endpoint))
  const answer = wire.handle(requestTo(service.endpoint))
  while (service.seen.length < 2) await nextTurn()
  gate.open()
  // The service writes its answer, and then nobody looks at sockets for a while.
  for (let tick = 0; tick < 20; tick++) await new Promise(resolve => { process.nextTick(resolve) })
  const end = performance.now() + 2 * SHORT
  while (performance.now() < end);
  t.equal((await answer).response.statusCode, 200)
  t.equal(service.seen.length, 2)
})

t.test('who has waited for a free connection may wait as long for the answer', async t => {
  const silence = 600
  const pause = 400
  const gate = makeGate()
  const service = await startService(t, async (_seen, count) => {
    if (count <= 256) await gate.passed
    else await sleep(pause)
    return {}
  })
  const wire = makeWire(t, silence)
  // None of them is given up meanwhile: each of their calls has its time from when it was sent.
  const others = Array.from({ length: 256 }, async () => await wire.handle(requestTo(service.endpoint)).catch(() => {}))
  while (service.seen.length < 256) await nextTurn()
  const start = performance.now()
  const last = wire.handle(requestTo(service.endpoint))
  await sleep(pause)
  gate.open()
  t.equal((await last).response.statusCode, 200)
  t.ok(performance.now() - start > silence)
  await Promise.all(others)
})

t.test('a connection that ends before its answer may be tried again', async t => {
  const { endpoint } = await startBytes(t, (socket, count) => {
    socket.once('data', () => {
      if (count === 1) socket.end()
      else if (count === 2) socket.end(`${HEAD}one`)
      else socket.resetAndDestroy()
    })
  })
  const wire = makeWire(t)
  await t.rejects(wire.handle(requestTo(endpoint)), { code: 'UND_ERR_SOCKET', $retryable: {} }, 'before it begins')
  await t.rejects(wire.handle(requestTo(endpoint)), { code: 'UND_ERR_SOCKET', $retryable: {} }, 'within it')
  await t.rejects(wire.handle(requestTo(endpoint)), { code: 'ECONNRESET' }, 'a reset, which the SDK knows by its code')
})

t.test('an answer that has begun and cannot be read to its end may be tried again, whatever it said of its connection', async t => {
  const CLOSE = 'HTTP/1.1 200 OK\r\nconnection: close\r\n'
  const answers: Record<string, (socket: Socket) => void> = {
    'shorter than told': socket => socket.end(`${CLOSE}content-length: 12\r\n\r\none`),
    'in chunks without the last': socket => socket.end(`${CLOSE}transfer-encoding: chunked\r\n\r\n5\r\none`),
    'in chunks that are none': socket => socket.end(`${CLOSE}transfer-encoding: chunked\r\n\r\nICY`),
    'in its head': socket => socket.end(`${CLOSE}content-le`),
    'with a switch of protocols': socket => socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n'),
    'with a reset': socket => socket.write(`${CLOSE}content-length: 12\r\n\r\none`, () => setImmediate(() => socket.resetAndDestroy()))
  }
  for (const [title, answer] of Object.entries(answers)) {
    const { endpoint } = await startBytes(t, socket => { socket.once('data', () => answer(socket)) })
    const error = await makeWire(t).handle(requestTo(endpoint)).then(() => null, (error: object) => error)
    t.ok(Object.hasOwn(error ?? {}, '$retryable') || (error as { code?: string } | null)?.code === 'ECONNRESET', title)
  }
})

t.test('what HTTP has besides an answer with a length', async t => {
  const answers = {
    'a hint before it': 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
    'trailers after it': 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x\r\n\r\n2\r\nok\r\n0\r\nx: 1\r\n\r\n',
    'bytes after it that nobody asked for': 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno'
  }
  for (const [title, answer] of Object.entries(answers)) {
    const { endpoint } = await startBytes(t, socket => { socket.on('data', () => socket.write(answer)) })
    const wire = makeWire(t)
    for (let count = 0; count < 3; count++) {
      const { response } = await wire.handle(requestTo(endpoint))
      t.same([response.statusCode, Buffer.from(response.body).toString()], [200, 'ok'], title)
      await nextTurn()
      await nextTurn()
    }
  }
})

t.test('what is no HTTP is a failure, and not tried again', async t => {
  const { endpoint } = await startBytes(t, socket => { socket.once('data', () => socket.write('ICY 200 OK\r\n\r\n')) })
  const error = await makeWire(t).handle(requestTo(endpoint)).then(() => null, (error: object) => error)
  t.match(error, { name: 'HTTPParserError' })
  t.notOk(Object.hasOwn(error ?? {}, '$retryable'))
})

t.test('a call that is told to stop', async t => {
  const STOPPED = { name: 'AbortError', message: 'The call was told to stop.', cause: new Error('enough') }

  await t.test('before it is sent, is not sent', async t => {
    const service = await startService(t)
    const { request, stop } = stoppableRequest(service.endpoint)
    stop.stop(new Error('enough'))
    await t.rejects(makeWire(t).handle(request), STOPPED)
    await t.rejects(makeWire(t).handle(requestTo(service.endpoint), { abortSignal: AbortSignal.abort(new Error('enough')) }), STOPPED)
    t.same([service.seen.length, service.connections], [0, 0])
  })

  await t.test('while it waits for its answer, ends at once and closes its connection', async t => {
    const { endpoint, sockets } = await startBytes(t, socket => { socket.resume() })
    const { request, stop } = stoppableRequest(endpoint)
    const wire = makeWire(t)
    const controller = new AbortController()
    const calls = [wire.handle(request), wire.handle(requestTo(endpoint), { abortSignal: controller.signal })]
    const ends = calls.map(async call => { await t.rejects(call, STOPPED) })
    while (sockets.filter(socket => socket.bytesRead > 0).length < 2) await nextTurn()
    stop.stop(new Error('enough'))
    controller.abort(new Error('enough'))
    await Promise.all(ends)
    await Promise.all(sockets.map(async socket => { if (!socket.closed) await once(socket, 'close') }))
  })

  await t.test('while it waits for a free connection, is never sent', async t => {
    const { service, wire, others } = await occupyAll(t)
    const { request, stop } = stoppableRequest(service.endpoint)
    const waiting = wire.handle(request)
    stop.stop(new Error('enough'))
    await t.rejects(waiting, STOPPED)
    service.open()
    await Promise.all(others)
    await wire.handle(requestTo(service.endpoint))
    t.equal(service.seen.length, 257, 'the one that was stopped is not among them')
  })

  await t.test('just before it is sent, is not sent, and its connection serves others', async t => {
    const service = await startService(t)
    const wire = makeWire(t, LONG, 1)
    await wire.handle(requestTo(service.endpoint))
    // Once it has rested, the connection is free.
    for (let turn = 0; turn < 2; turn++) await nextTurn()
    const { request, stop } = stoppableRequest(service.endpoint)
    const call = wire.handle(request)
    stop.stop(new Error('enough'))
    await t.rejects(call, STOPPED)
    await wire.handle(requestTo(service.endpoint))
    t.same([service.seen.length, service.connections], [2, 1])
  })

  await t.test('while many wait behind others, costs no connection', async t => {
    const { service, wire, others } = await occupyAll(t)
    for (let count = 0; count < 300; count++) {
      const { request, stop } = stoppableRequest(service.endpoint)
      const waiting = wire.handle(request)
      stop.stop(new Error('enough'))
      await t.rejects(waiting, STOPPED)
    }
    const last = wire.handle(requestTo(service.endpoint))
    service.open()
    await Promise.all(others)
    await last
    t.same([service.seen.length, service.connections], [257, 256])
  })

  await t.test('after its answer, has its answer', async t => {
    const service = await startService(t)
    const { request, stop } = stoppableRequest(service.endpoint)
    const controller = new AbortController()
    const wire = makeWire(t)
    const answers = [await wire.handle(request), await wire.handle(requestTo(service.endpoint), { abortSignal: controller.signal })]
    stop.stop(new Error('enough'))
    t.same(getEventListeners(controller.signal, 'abort'), [], 'its signal keeps nothing of it')
    controller.abort()
    await wire.handle(requestTo(service.endpoint))
    t.same(answers.map(({ response }) => response.statusCode), [200, 200])
    t.equal(service.sockets.size, service.connections, 'nor is a connection closed')
  })
})

t.test('whatever befalls calls, each ends, and no connection\'s place is lost', async t => {
  const PLACES = 8
  const CLOSE = HEAD.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n')
  const ways: ReadonlyArray<(socket: Socket) => unknown> = [
    socket => socket.write(`${HEAD}one two four`),
    socket => socket.end(),
    socket => socket.resetAndDestroy(),
    socket => socket.end(`${HEAD}one`),
    socket => socket.write(`${HEAD}one`, () => socket.resetAndDestroy()),
    socket => socket.end(`${CLOSE}one two four`),
    socket => socket.end(`${CLOSE}one`),
    socket => socket.write('ICY 200 OK\r\n\r\n'),
    socket => socket.write(`${HEAD}one two four`, () => socket.end()),
    () => {}
  ]
  const gate = makeGate()
  const held: Socket[] = []
  let [met, isOver] = [0, false]
  const { endpoint } = await startBytes(t, socket => {
    socket.on('data', () => {
      if (isOver) {
        held.push(socket)
        gate.passed.then(() => socket.write(`${HEAD}one two four`), () => {})
      } else ways[met++ % ways.length]?.(socket)
    })
  })
  const wire = makeWire(t, SHORT, PLACES)
  const calls = Array.from({ length: 600 }, async (_, count) => {
    const { request, stop } = stoppableRequest(endpoint)
    if (count % 7 === 0) Object.assign(request, { headers: { 'x-amz-security-token': 'a\nb' } })
    const end = wire.handle(request).then(() => 'an answer', (error: Error) => error.name)
    if (count % 11 === 0) stop.stop(new Error('enough'))
    if (count % 13 === 0) setTimeout(() => { stop.stop(new Error('enough')) }, count)
    return await end
  })
  const outcomes = new Set(await Promise.all(calls))
  t.same([...outcomes].sort(), ['AbortError', 'Error', 'HTTPParserError', 'InvalidArgumentError', 'ResponseContentLengthMismatchError', 'SocketError', 'TimeoutError', 'an answer'])
  isOver = true
  const last = Array.from({ length: PLACES + 1 }, async () => await wire.handle(requestTo(endpoint)).then(() => 'an answer', (error: Error) => error.name))
  while (held.length < PLACES) await nextTurn()
  gate.open()
  t.same(await Promise.all(last), Array.from({ length: PLACES + 1 }, () => 'an answer'))
})

t.test('no timer is left behind by a call that has ended', async t => {
  const service = await startService(t)
  const wire = makeWire(t)
  await wire.handle(requestTo(service.endpoint))
  const timers = (): number => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
  const before = timers()
  for (let count = 0; count < 5; count++) {
    await wire.handle(requestTo(service.endpoint))
    await wire.handle(requestTo('http://127.0.0.1:1')).catch(() => {})
  }
  t.ok(timers() <= before, `${timers()} after ${before}`)
})

t.test('destroyed, it closes its connections, also one in use, and makes new ones when it is used again', async t => {
  const gate = makeGate()
  const service = await startService(t, async (_seen, count) => {
    if (count === 2) await gate.passed
    return {}
  })
  const wire = makeWire(t)
  wire.destroy()
  await wire.handle(requestTo(service.endpoint))
  const cut = t.rejects(wire.handle(requestTo(service.endpoint)), { code: 'UND_ERR_DESTROYED' })
  while (service.seen.length < 2) await nextTurn()
  const closed = [...service.sockets].map(async socket => { await once(socket, 'close') })
  wire.destroy()
  await Promise.all([cut, ...closed])
  gate.open()
  await wire.handle(requestTo(service.endpoint))
  t.equal(service.seen.length, 3)
  t.equal(service.sockets.size, 1)
})

t.test('it serves any client of the SDK, which sets it up in vain', async t => {
  const service = await startService(t)
  const client = new DynamoDBClient({ ...clientConfig(service.endpoint), requestHandler: makeWire(t) })
  t.match(await client.send(new GetItemCommand({ TableName: 'sessions', Key: { id: { S: 'x' } } })), { $metadata: { httpStatusCode: 200, attempts: 1 } })
  const handler = client.config.requestHandler as unknown as Wire
  handler.updateHttpClientConfig()
  t.same(handler.httpHandlerConfigs(), { silence: LONG, connections: 256 })
  client.destroy()
})
