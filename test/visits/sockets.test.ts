import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import websocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { WebSocket, type RawData } from 'ws'
import { addRoutes, setStage, type LogLines, type Stage, type StageOptions } from '../support/app.js'
import { startDynalite, type Engine } from '../support/engines.js'
import { ask, cookieOf, namesOf } from '../support/wire-client.js'
import { testVisit } from '../support/relied.js'
import { takeAway } from '../support/without.js'
import '../support/session-data.js'

const unhandled: unknown[] = []
process.on('unhandledRejection', reason => { unhandled.push(reason) })

const LOST = /^Changes of a session were lost/
const LATE = /^A session was changed after its request had ended/

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

/** What a message does with the session; its answer is what comes of it. */
const acts: Record<string, (session: FastifyRequest['session'], value: string) => unknown> = {
  data: session => session.data(),
  set: (session, value) => { session.set('userId', value) },
  push: (session, value) => { session.get('cart')?.push(value) },
  save: async session => { await session.save() },
  'set and save': async (session, value) => {
    session.set('userId', value)
    await session.save()
    return session.token
  },
  count: async session => await session.update('count', count => (count ?? 0) + 1),
  touch: async session => {
    session.touch()
    await session.save()
  },
  reload: async session => { await session.reload() },
  destroy: async session => { await session.destroy() },
  regenerate: async session => {
    await session.regenerate(true)
    await session.save()
    return session.token
  }
}

function addSockets (app: FastifyInstance): void {
  app.get('/socket', { websocket: true }, (socket, request) => {
    socket.on('message', (message: RawData) => {
      const [act = '', value = ''] = String(message).split(':')
      const begun = async (): Promise<unknown> => await acts[act]?.(request.session, value)
      begun().then(
        answer => { socket.send(JSON.stringify({ answer: answer ?? null })) },
        (error: { code: string }) => { socket.send(JSON.stringify({ code: error.code })) }
      )
    })
  })
  app.get('/guarded', {
    websocket: true,
    preValidation: async (request, reply) => {
      if (request.session.get('userId') !== undefined) return
      request.session.set('flash', { error: ['Log in first'] })
      await reply.code(401).send({})
    }
  }, socket => { socket.send('"in"') })
  app.get('/cut', {
    websocket: true,
    preValidation: async (request, reply) => {
      request.session.set('userId', 'left')
      // As a server that cuts its connections does; nobody reads from a socket that is not open yet, so none sees its client leave.
      request.raw.socket.destroy()
      await once(reply.raw, 'close')
      await nextTurn()
      await reply.code(401).send({})
    }
  }, () => {})
  app.get('/throws', { websocket: true }, async (_socket, request) => {
    request.session.set('count', 1)
    throw new Error('broken')
  })
}

interface SocketStage extends Stage {
  readonly origin: string
  open (cookie?: string, path?: string): Promise<SocketClient>
}

/** `without`: a member that the session does not have in sockets. */
async function setSockets (t: Test, { without, ...options }: Pick<StageOptions, 'session'> & { readonly without?: string | undefined } = {}): Promise<SocketStage> {
  const stage = await setStage(t, engine, {
    ...options,
    // First, as it says itself: it ends the connection of an upgrade that a hook after its own refuses.
    before: async app => { await app.register(websocket) },
    routes: async app => {
      await app.register(async app => {
        if (without !== undefined) takeAway(app, without)
        addSockets(app)
      })
      addRoutes(app)
    }
  })
  const origin = await stage.app.listen({ port: 0, host: '127.0.0.1' })
  return Object.assign(stage, {
    origin,
    open: async (cookie?: string, path = '/socket') => {
      const client = new SocketClient(origin + path, cookie)
      t.teardown(() => { client.socket.terminate() })
      await once(client.socket, 'open')
      return client
    }
  })
}

class SocketClient {
  readonly socket: WebSocket

  constructor (url: string, cookie?: string) {
    this.socket = new WebSocket(url.replace('http', 'ws'), { headers: cookie === undefined ? {} : { cookie } })
  }

  /** Sends an act, and gives what came of it. */
  async do (act: string): Promise<Record<string, any>> {
    const answer = once(this.socket, 'message')
    this.socket.send(act)
    const [message] = await answer
    return JSON.parse(String(message)) as Record<string, any>
  }

  /** Ends when both sides have closed. */
  async close (): Promise<void> {
    this.socket.close()
    await once(this.socket, 'close')
  }
}

function told (log: LogLines, message: RegExp): number {
  return log.warnings().filter(text => message.test(text)).length
}

/** The server hears of an end on its own side of the connection: resolves when it has none open, and what follows has run. */
async function allClosed ({ app }: Stage): Promise<void> {
  while (app.websocketServer.clients.size > 0) await nextTurn()
  for (let turn = 0; turn < 5; turn++) await nextTurn()
}

async function logIn ({ origin, proxy }: SocketStage): Promise<string> {
  const cookie = cookieOf(await ask(`${origin}/set`, { method: 'POST', body: '{"userId":"ann","cart":["apple"]}' }))
  proxy.take()
  return cookie
}

async function dataOf ({ origin, proxy }: SocketStage, cookie: string): Promise<unknown> {
  const { data } = JSON.parse((await ask(`${origin}/me`, { cookie })).body)
  proxy.take()
  return data
}

t.test('a socket has the session of its visitor, read once when it opens', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const socket = await stage.open(cookie)
  t.same(await socket.do('data'), { answer: { userId: 'ann', cart: ['apple'] } })
  t.same(await socket.do('data'), { answer: { userId: 'ann', cart: ['apple'] } })
  t.same(stage.proxy.take(), ['GetItem'])
  await socket.close()
  await allClosed(stage)
  t.same([stage.proxy.take(), told(stage.log, LOST)], [[], 0])
})

t.test('what is changed and saved in a socket is stored when save() resolves, and the next request sees it', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const socket = await stage.open(cookie)
  await socket.do('set and save:bob')
  t.same(stage.proxy.take(), ['GetItem', 'UpdateItem'])
  t.same(await dataOf(stage, cookie), { userId: 'bob', cart: ['apple'] })
  await socket.do('push:pear')
  await socket.do('save')
  t.same(await dataOf(stage, cookie), { userId: 'bob', cart: ['apple', 'pear'] })
  await ask(`${stage.origin}/set`, { method: 'POST', cookie, body: '{"count":5}' })
  await socket.do('set and save:eve')
  t.same(await dataOf(stage, cookie), { userId: 'eve', cart: ['apple', 'pear'], count: 5 }, 'and keeps what requests wrote meanwhile')
  await socket.do('reload')
  t.match(await socket.do('data'), { answer: { count: 5 } })
  await socket.close()
  await allClosed(stage)
  t.equal(told(stage.log, LOST), 0)
})

for (const session of [{}, { secrets: 'a secret of thirty-two characters' }, { header: 'x-session' }]) {
  const option = Object.keys(session)[0] ?? 'by default'
  t.test(`a session begun in a socket has a token, which the client sends itself (${option})`, async t => {
    const stage = await setSockets(t, { session })
    const socket = await stage.open()
    t.same([await socket.do('data'), stage.proxy.take()], [{ answer: {} }, []])
    const { answer: token } = await socket.do('set and save:new')
    t.same(stage.proxy.take(), ['PutItem'])
    const headers = 'header' in session ? { 'x-session': token as string } : { cookie: `__Host-id=${encodeURIComponent(token as string)}` }
    const reply = await ask(`${stage.origin}/me`, { headers })
    t.same([JSON.parse(reply.body).data, reply.setCookies], [{ userId: 'new' }, []])
    await socket.close()
    await allClosed(stage)
    t.equal(told(stage.log, LOST), 0)
  })
}

t.test('a change that nobody saved is warned of when the socket closes, and not before', async t => {
  for (const [title, changes, ends] of [
    ['assigned', ['set:lost'], 'closed'],
    ['in place', ['push:lost'], 'closed'],
    ['after a save', ['set and save:kept', 'set:lost'], 'closed'],
    ['assigned, and the connection breaks', ['set:lost'], 'broken']
  ] as const) {
    await t.test(title, async t => {
      const stage = await setSockets(t)
      const cookie = await logIn(stage)
      const socket = await stage.open(cookie)
      for (const change of changes) await socket.do(change)
      await socket.do('data')
      t.equal(told(stage.log, LOST), 0)
      if (ends === 'closed') await socket.close()
      else socket.socket.terminate()
      await allClosed(stage)
      t.same([told(stage.log, LOST), told(stage.log, LATE)], [1, 0])
      t.notMatch(await dataOf(stage, cookie), { userId: 'lost' })
    })
  }

  await t.test('on a socket without a session', async t => {
    const stage = await setSockets(t)
    const socket = await stage.open()
    await socket.do('set:lost')
    t.equal(told(stage.log, LOST), 0)
    await socket.close()
    await allClosed(stage)
    t.same([told(stage.log, LOST), stage.proxy.take(), await stage.items()], [1, [], []])
  })

  await t.test('not where it was saved, or never made', async t => {
    const stage = await setSockets(t)
    const cookie = await logIn(stage)
    for (const turn of [['set:x', 'save'], ['count'], ['data'], ['set:x'], ['touch']]) {
      const socket = await stage.open(cookie)
      for (const act of turn) await socket.do(act)
      await socket.close()
      await allClosed(stage)
    }
    t.equal(told(stage.log, LOST), 0, 'to set what is there is no change')
  })

  await t.test('also where the handler of the socket fails', async t => {
    const stage = await setSockets(t)
    const cookie = await logIn(stage)
    const socket = new WebSocket(`${stage.origin.replace('http', 'ws')}/throws`, { headers: { cookie } })
    await once(socket, 'close')
    await allClosed(stage)
    t.equal(told(stage.log, LOST), 1)
    t.notMatch(await dataOf(stage, cookie), { count: 1 })
  })
})

t.test('update() from many messages of two sockets counts each', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const sockets = await Promise.all([stage.open(cookie), stage.open(cookie)])
  stage.proxy.take()
  await Promise.all(sockets.map(async ({ socket }) => {
    let answers = 0
    const all = new Promise<void>(resolve => { socket.on('message', () => { if (++answers === 15) resolve() }) })
    for (let message = 0; message < 15; message++) socket.send('count')
    await all
  }))
  const calls = stage.proxy.take()
  t.match(await dataOf(stage, cookie), { count: 30 })
  t.equal(calls.filter(action => action === 'UpdateItem').length, 30, 'one write for each, as one process queues them')
  t.ok(calls.length <= 32, `${calls.length} calls`)
})

t.test('a log-out elsewhere', async t => {
  for (const act of ['set and save:back', 'count', 'regenerate', 'touch', 'reload']) {
    await t.test(`${act.split(':')[0]} is told that the session has ended, and nothing comes back`, async t => {
      const stage = await setSockets(t)
      const cookie = await logIn(stage)
      const socket = await stage.open(cookie)
      // So that a renewal is due and would be written.
      stage.clock.forward(60)
      t.equal((await ask(`${stage.origin}/logout`, { method: 'POST', cookie })).status, 200)
      t.same(await socket.do(act), { code: 'FST_DYNAMODB_SESSION_GONE' })
      t.same(await stage.items(), [])
      await socket.close()
      await allClosed(stage)
      t.same([await stage.items(), told(stage.log, LOST)], [[], 0], 'who was told has lost nothing in silence')
      t.same(await dataOf(stage, cookie), {})
    })
  }

  await t.test('a log-in elsewhere ends it too, and the new session is untouched', async t => {
    const stage = await setSockets(t)
    const cookie = await logIn(stage)
    const socket = await stage.open(cookie)
    const login = await ask(`${stage.origin}/login`, { method: 'POST', cookie })
    t.same(await socket.do('set and save:back'), { code: 'FST_DYNAMODB_SESSION_GONE' })
    t.same(await socket.do('count'), { code: 'FST_DYNAMODB_SESSION_GONE' })
    t.same(await dataOf(stage, cookieOf(login)), { userId: 'u-42' })
  })

  await t.test('a log-out in the socket ends the session for requests, and the socket may begin another', async t => {
    const stage = await setSockets(t)
    const cookie = await logIn(stage)
    const socket = await stage.open(cookie)
    await socket.do('destroy')
    t.same([await dataOf(stage, cookie), await stage.items()], [{}, []])
    const { answer: token } = await socket.do('set and save:next')
    t.same(await dataOf(stage, `__Host-id=${token}`), { userId: 'next' })
    await socket.close()
    await allClosed(stage)
    t.equal(told(stage.log, LOST), 0)
  })
})

t.test('regenerate() in a socket: the new token is in hand, and the old one is worthless', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const socket = await stage.open(cookie)
  const { answer: token } = await socket.do('regenerate')
  t.same(stage.proxy.take(), ['GetItem', 'PutItem', 'UpdateItem'])
  t.same(await dataOf(stage, cookie), {})
  t.same(await dataOf(stage, `__Host-id=${token}`), { userId: 'ann', cart: ['apple'] })
})

t.test('an upgrade that is refused answers as any request: its session is saved and its token is sent', async t => {
  const stage = await setSockets(t)
  const refused = new WebSocket(`${stage.origin.replace('http', 'ws')}/guarded`)
  refused.on('error', () => {})
  const [, response] = await once(refused, 'unexpected-response') as [unknown, IncomingMessage]
  const reply = { setCookies: response.headers['set-cookie'] ?? [] }
  t.same([response.statusCode, namesOf(reply), response.headers['cache-control']], [401, ['__Host-id', '__Host-id-v'], 'no-store'])
  response.destroy()
  t.same(await dataOf(stage, cookieOf(reply)), { flash: { error: ['Log in first'] } })
  const guarded = new WebSocket(`${stage.origin.replace('http', 'ws')}/guarded`, { headers: { cookie: await logIn(stage) } })
  const [message] = await once(guarded, 'message')
  t.equal(String(message), '"in"')
  guarded.terminate()
  await allClosed(stage)
  t.equal(told(stage.log, LOST), 0)
})

t.test('an upgrade whose session cannot be read is refused with a 503, and the token is left alone', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  stage.proxy.intercept = () => ({ status: 400, body: { __type: 'com.amazon.coral.service#AccessDeniedException' } })
  const refused = new WebSocket(`${stage.origin.replace('http', 'ws')}/socket`, { headers: { cookie } })
  refused.on('error', () => {})
  const [, response] = await once(refused, 'unexpected-response') as [unknown, IncomingMessage]
  t.same([response.statusCode, response.headers['set-cookie'], response.headers['retry-after']], [503, undefined, '1'])
  response.destroy()
  stage.proxy.intercept = () => undefined
  t.match(await dataOf(stage, cookie), { userId: 'ann' })
})

t.test('a client that leaves while its upgrade is being read crashes nothing', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const gate = stage.proxy.gate('GetItem')
  const leaving = new WebSocket(`${stage.origin.replace('http', 'ws')}/socket`, { headers: { cookie } })
  leaving.on('error', () => {})
  await gate.reached
  leaving.terminate()
  gate.release()
  t.match(await dataOf(stage, cookie), { userId: 'ann' })
  await allClosed(stage)
  t.equal(told(stage.log, LOST), 0)
})

t.test('a connection that is cut while its upgrade is being refused: what the refusal changes is saved, and none of it is lost', async t => {
  const stage = await setSockets(t)
  const cut = new WebSocket(`${stage.origin.replace('http', 'ws')}/cut`)
  cut.on('error', () => {})
  while ((await stage.items()).length === 0) await nextTurn()
  await allClosed(stage)
  t.match(await stage.items(), [{ data: { M: { userId: { S: '"left"' } } } }])
  t.equal(told(stage.log, LOST), 0)
})

t.test('injectWS has the session as a real socket has', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const socket = await stage.app.injectWS('/socket', { headers: { cookie } })
  const answer = once(socket, 'message')
  socket.send('set and save:injected')
  const [message] = await answer
  t.type(JSON.parse(String(message)).answer, 'string')
  t.match(await dataOf(stage, cookie), { userId: 'injected' })
  socket.terminate()
})

t.test('what sockets rely on', async t => {
  const OLD = { userId: 'ann', cart: ['apple'] }
  const FAILED = {}
  const DONE = { answer: null }
  const TOKEN = { answer: 'token' }
  /** Acts on a socket, then what comes of them: their answers, the calls, and the data that the visitor's cookie leads to. */
  const cases: ReadonlyArray<readonly [acts: readonly string[], outcome: readonly unknown[], relied: Readonly<Record<string, readonly unknown[]>>]> = [
    [['data'], [[{ answer: OLD }], ['GetItem'], OLD], { data: [[FAILED], ['GetItem'], OLD] }],
    [['push:pear', 'save'], [[DONE, DONE], ['GetItem', 'UpdateItem'], { ...OLD, cart: ['apple', 'pear'] }], {
      get: [[FAILED, DONE], ['GetItem'], OLD],
      save: [[DONE, FAILED], ['GetItem'], OLD]
    }],
    [['set and save:bob'], [[TOKEN], ['GetItem', 'UpdateItem'], { ...OLD, userId: 'bob' }], {
      set: [[FAILED], ['GetItem'], OLD],
      token: [[DONE], ['GetItem', 'UpdateItem'], { ...OLD, userId: 'bob' }]
    }],
    [['count'], [[{ answer: 1 }], ['GetItem', 'UpdateItem'], { ...OLD, count: 1 }], { update: [[FAILED], ['GetItem'], OLD] }],
    [['touch'], [[DONE], ['GetItem', 'UpdateItem'], OLD], { touch: [[FAILED], ['GetItem'], OLD] }],
    [['reload'], [[DONE], ['GetItem', 'GetItem'], OLD], { reload: [[FAILED], ['GetItem'], OLD] }],
    [['destroy'], [[DONE], ['GetItem', 'DeleteItem'], {}], { destroy: [[FAILED], ['GetItem'], OLD] }],
    [['regenerate'], [[TOKEN], ['GetItem', 'PutItem', 'UpdateItem'], {}], { regenerate: [[FAILED], ['GetItem'], OLD] }]
  ]
  for (const [acts, outcome, relied] of cases) {
    await t.test(acts.join(', '), async t => {
      const visit = async (t: Test, without?: string): Promise<unknown> => {
        const stage = await setSockets(t, { without })
        const cookie = await logIn(stage)
        stage.clock.forward(60)
        const socket = await stage.open(cookie)
        const answers = []
        for (const act of acts) {
          const answer = await socket.do(act)
          answers.push(typeof answer['answer'] === 'string' ? TOKEN : answer)
        }
        return [answers, stage.proxy.take(), await dataOf(stage, cookie)]
      }
      await testVisit(t, visit, outcome, Object.fromEntries(Object.entries(relied).map(([member, other]) => [member, [member, other]])))
    })
  }
})

t.test('a session that is revoked while its socket is open: save() and reload() say so, over a real connection and an injected one', async t => {
  for (const [way, act] of [['real', 'set and save:back'], ['real', 'reload'], ['injected', 'set and save:back'], ['injected', 'reload']] as const) {
    const stage = await setSockets(t)
    const cookie = await logIn(stage)
    const socket = way === 'real' ? (await stage.open(cookie)).socket : await stage.app.injectWS('/socket', { headers: { cookie } })
    const answerTo = async (act: string): Promise<unknown> => {
      const answer = once(socket, 'message')
      socket.send(act)
      return JSON.parse(String((await answer)[0]))
    }
    t.match(await answerTo('data'), { answer: { userId: 'ann' } })
    const [item] = await stage.items()
    await stage.app.sessions.revoke(item?.['id']?.S ?? '')
    t.same(await answerTo(act), { code: 'FST_DYNAMODB_SESSION_GONE' }, `${way}, ${act}`)
    t.same([(await stage.items()).map(({ next }) => next), await dataOf(stage, cookie)], [[{ S: '-' }], {}])
    socket.terminate()
    await allClosed(stage)
    t.equal(told(stage.log, LOST), 0)
  }
})

t.test('closing the application with open sockets ends, and tells of what they have not saved', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const [quiet, careless] = await Promise.all([stage.open(cookie), stage.open(cookie)])
  await careless.do('set:lost')
  const closed = Promise.all([quiet, careless].map(async ({ socket }) => { await once(socket, 'close') }))
  const begin = performance.now()
  await stage.app.close()
  await closed
  t.ok(performance.now() - begin < 10_000)
  for (let turn = 0; turn < 5; turn++) await nextTurn()
  t.equal(told(stage.log, LOST), 1)
})

t.test('a save that a socket has under way when the application closes is made', async t => {
  const stage = await setSockets(t)
  const cookie = await logIn(stage)
  const socket = await stage.open(cookie)
  const gate = stage.proxy.gate('UpdateItem')
  socket.socket.send('set and save:last')
  const { input } = await gate.reached
  const closed = stage.app.close()
  for (let turn = 0; turn < 50; turn++) await nextTurn()
  gate.release()
  await closed
  const key = input['Key'].id.S as string
  while ((await stage.item(key))?.['data']?.M?.['userId']?.S !== '"last"') await nextTurn()
  t.match(await stage.item(key), { ver: { N: '2' } }, 'once, though its connection may have been cut')
})

t.test('nothing was rejected without a listener', async t => {
  await nextTurn()
  t.same(unhandled, [])
})
