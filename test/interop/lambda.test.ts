import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import awsLambdaFastify, { type LambdaFastifyOptions, type LambdaResponse, type LambdaResponseStreamed } from '@fastify/aws-lambda'
import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2, Context } from 'aws-lambda'
import t, { type Test } from 'tap'
import type { DynamoSessionOptions } from '../../index.js'
import { addRoutes, setStage, type Stage } from '../support/app.js'
import { NOT_COVERED } from '../support/children.js'
import { createTable, startDynalite, type Engine } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'
import { testVisit } from '../support/relied.js'
import { cookieOf, namesOf } from '../support/wire-client.js'
import { takeAway } from '../support/without.js'
import '../support/session-data.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

type LambdaEvent = APIGatewayProxyEvent | APIGatewayProxyEventV2 | ALBEvent
/** What the package answers beyond its own types. */
type Answer = LambdaResponse & { readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>> }

interface Question {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  /** The pairs, as a browser has them. */
  readonly cookies?: readonly string[]
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
}

/** What stands before a function: the events that it makes, and which Set-Cookie headers of an answer it hands on. */
interface Front {
  readonly name: string
  readonly options?: LambdaFastifyOptions
  event (question: Question): LambdaEvent
  delivers (answer: Answer): string[]
}

const CONTEXT = {} as Context
const SIGNED = { secrets: 'a secret of more than thirty-two characters' }

/** What each of them sends along. */
const FORWARDED = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-For': '203.0.113.7', 'X-Forwarded-Port': '443', Host: 'shop.example' }

function parts ({ method = 'GET', path, body, headers = {} }: Question) {
  return {
    method,
    path,
    body: body === undefined ? null : JSON.stringify(body),
    headers: { ...FORWARDED, ...body !== undefined && { 'Content-Type': 'application/json' }, ...headers }
  }
}

const single = (answer: Answer): string[] => [answer.headers['set-cookie'] ?? []].flat()
const several = (answer: Answer): string[] => [...answer.multiValueHeaders?.['set-cookie'] ?? []]

/** A REST API, and an HTTP API with payload 1.0. Both hand on `headers` and `multiValueHeaders`, of which the second wins. */
function restEvent (question: Question, cookieHeaders: readonly string[], name = 'Cookie'): APIGatewayProxyEvent {
  const { method, path, body, headers } = parts(question)
  const all = Object.entries(headers).map(([key, value]) => [key, [value]])
  const last = cookieHeaders.at(-1)
  return {
    resource: '/{proxy+}',
    path,
    httpMethod: method,
    headers: { ...headers, ...last !== undefined && { [name]: last } },
    multiValueHeaders: { ...Object.fromEntries(all), ...last !== undefined && { [name]: [...cookieHeaders] } },
    queryStringParameters: null,
    multiValueQueryStringParameters: null,
    pathParameters: { proxy: path.slice(1) },
    stageVariables: null,
    requestContext: { identity: { sourceIp: '203.0.113.7' }, requestId: 'REQUEST', stage: 'prod' } as APIGatewayProxyEvent['requestContext'],
    body,
    isBase64Encoded: false
  }
}

function httpEvent (question: Question): APIGatewayProxyEventV2 {
  const { method, path, body, headers } = parts(question)
  return {
    version: '2.0',
    routeKey: '$default',
    rawPath: path,
    rawQueryString: '',
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    ...question.cookies !== undefined && { cookies: [...question.cookies] },
    requestContext: { http: { method, path, protocol: 'HTTP/1.1', sourceIp: '203.0.113.7', userAgent: '' } } as APIGatewayProxyEventV2['requestContext'],
    ...body !== null && { body },
    isBase64Encoded: false
  }
}

function albEvent (question: Question, isMulti: boolean): ALBEvent {
  const { method, path, body, headers } = parts(question)
  const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
  const all = question.cookies === undefined ? lower : [...lower, ['cookie', question.cookies.join('; ')] as const]
  return {
    requestContext: { elb: { targetGroupArn: 'TARGET' } },
    httpMethod: method,
    path,
    ...isMulti
      ? { multiValueHeaders: Object.fromEntries(all.map(([name, value]) => [name, [value]])), multiValueQueryStringParameters: {} }
      : { headers: Object.fromEntries(all), queryStringParameters: {} },
    body,
    isBase64Encoded: false
  }
}

const joined = ({ cookies }: Question): string[] => cookies === undefined ? [] : [cookies.join('; ')]
const REST = { delivers: (answer: Answer) => several(answer).length > 0 ? several(answer) : single(answer) }
const HTTP = { delivers: (answer: Answer) => answer.cookies ?? [] }
const ALB: Front = { name: 'ALB without multi-value headers', event: question => albEvent(question, false), delivers: single }

const FRONTS: readonly Front[] = [
  { name: 'REST API', event: question => restEvent(question, joined(question)), ...REST },
  { name: 'REST API, the cookies in several header fields', event: question => restEvent(question, question.cookies ?? []), ...REST },
  { name: 'REST API, a header in small letters', event: question => restEvent(question, joined(question), 'cookie'), ...REST },
  { name: 'HTTP API with payload 1.0', event: question => Object.assign(restEvent(question, joined(question)), { version: '1.0' }), ...REST },
  { name: 'HTTP API with payload 2.0', event: httpEvent, ...HTTP },
  {
    name: 'function URL, which sends cookies twice',
    event: question => {
      const event = httpEvent(question)
      if (question.cookies !== undefined) event.headers['cookie'] = question.cookies.join('; ')
      return event
    },
    ...HTTP
  },
  {
    name: 'ALB with multi-value headers',
    options: { albMultiValueHeaders: true },
    event: question => albEvent(question, true),
    delivers: several
  }
]

interface Parts {
  readonly session?: Partial<DynamoSessionOptions>
  readonly options?: LambdaFastifyOptions
  readonly trustProxy?: boolean
  /** A member of the session that is not there. */
  readonly without?: string | undefined
}

interface FunctionStage extends Stage {
  invoke (question: Question, cookies?: string): Promise<Answer>
}

async function setFunction (t: Test, front: Front, { session = SIGNED, options = front.options ?? {}, trustProxy = true, without }: Parts = {}): Promise<FunctionStage> {
  let handler = async (_event: LambdaEvent, _context: Context): Promise<LambdaResponse> => await Promise.reject(new Error('not ready'))
  const stage = await setStage(t, engine, {
    session,
    fastify: { trustProxy },
    before: app => { handler = awsLambdaFastify<LambdaEvent>(app, options) },
    routes: app => {
      if (without !== undefined) takeAway(app, without)
      app.get('/protocol', async ({ protocol, ip }) => ({ protocol, ip }))
      addRoutes(app)
    }
  })
  return Object.assign(stage, {
    invoke: async (question: Question, cookies = '') => {
      const pairs = cookies === '' ? {} : { cookies: cookies.split('; ') }
      return await handler(front.event({ ...question, ...pairs }), CONTEXT)
    }
  })
}

const LOG_IN: Question = { method: 'POST', path: '/set', body: { userId: 'ann', cart: ['apple'] } }

/** Three invocations of one visitor, each by an event of its own: what was delivered and seen, and what it cost. */
const threeInvocations = (front: Front, parts: Parts = {}) => async (t: Test, without?: string): Promise<unknown> => {
  const stage = await setFunction(t, front, { ...parts, without })
  const login = await stage.invoke(LOG_IN)
  const first = front.delivers(login)
  const cookies = cookieOf({ setCookies: first })
  const write = await stage.invoke({ method: 'POST', path: '/push' }, cookies)
  const second = front.delivers(write)
  const read = await stage.invoke({ path: '/me' }, cookieOf({ setCookies: first }, { setCookies: second }))
  return {
    statuses: [login.statusCode, write.statusCode, read.statusCode],
    told: [namesOf({ setCookies: first }), namesOf({ setCookies: second }), front.delivers(read)],
    cart: (JSON.parse(read.body).data ?? {}).cart,
    calls: stage.proxy.take()
  }
}

const ALL_WELL = {
  statuses: [200, 200, 200],
  told: [['__Host-id', '__Host-id-v'], ['__Host-id-v'], []],
  cart: ['apple', 'pear'],
  calls: ['PutItem', 'GetItem', 'UpdateItem', 'GetItem']
}

for (const front of FRONTS) {
  t.test(`${front.name}: a session lasts over invocations, with the calls that it costs elsewhere`, async t => {
    const isFirst = front === FRONTS[0]
    await testVisit(t, threeInvocations(front), ALL_WELL, isFirst
      ? {
          set: ['set', { statuses: [500, 200, 200], told: [[], [], []], cart: undefined, calls: [] }],
          get: ['get', { ...ALL_WELL, statuses: [200, 500, 200], told: [ALL_WELL.told[0], [], []], cart: ['apple'], calls: ['PutItem', 'GetItem', 'GetItem'] }],
          data: ['data', { ...ALL_WELL, statuses: [200, 200, 500], cart: undefined }]
        }
      : {})
  })
}

t.test('an ALB without multi-value headers loses every cookie of an answer that sets two, the token too', async t => {
  const lost = { statuses: [200, 200, 200], told: [[], [], []], cart: undefined, calls: ['PutItem'] }
  await testVisit(t, threeInvocations(ALB), lost, {})
  await t.test('but not where no companion is sent: with consistentRead, the token is the only one', async t => {
    await testVisit(t, threeInvocations(ALB, { session: { ...SIGNED, consistentRead: true } }), { ...ALL_WELL, told: [['__Host-id'], [], []] }, {})
  })
  await t.test('and what its multi-value headers bring is not read without albMultiValueHeaders', async t => {
    const front = FRONTS.find(({ name }) => name === 'ALB with multi-value headers') as Front
    t.match(await threeInvocations(front, { options: {} })(t), { cart: undefined, statuses: [415, 200, 200] })
  })
})

t.test('a log-out clears the token, and the next invocation is a stranger', async t => {
  for (const front of FRONTS) {
    const stage = await setFunction(t, front)
    const cookies = cookieOf({ setCookies: front.delivers(await stage.invoke(LOG_IN)) })
    const logout = front.delivers(await stage.invoke({ method: 'POST', path: '/logout' }, cookies))
    t.same([logout.length, logout.every(text => text.startsWith('__Host-id=; Max-Age=0'))], [1, true], front.name)
    t.same(JSON.parse((await stage.invoke({ path: '/me' }, cookies)).body).data, {})
    t.same(await stage.items(), [])
  }
})

t.test('HTTPS is told by X-Forwarded-Proto, and believed with trustProxy', async t => {
  for (const front of FRONTS) {
    const seen = async (t: Test, trustProxy = true): Promise<unknown> => {
      const stage = await setFunction(t, front, { session: { ...SIGNED, cookie: { secure: 'auto' } }, trustProxy })
      const [token = ''] = front.delivers(await stage.invoke(LOG_IN))
      return { ...JSON.parse((await stage.invoke({ path: '/protocol' })).body), isSecure: /; Secure;/.test(token) }
    }
    await t.test(front.name, async t => {
      const isAlb = front.name.startsWith('ALB')
      await testVisit(t, seen, { protocol: 'https', ip: '203.0.113.7', isSecure: true }, {
        trustProxy: [false, { protocol: 'http', ip: isAlb ? '127.0.0.1' : '203.0.113.7', isSecure: false }]
      })
    })
  }
  await t.test('a Secure cookie is sent either way; without trustProxy it is warned of once, with that hint', async t => {
    const warnings = async (t: Test, trustProxy = true): Promise<unknown> => {
      const front = FRONTS[4] as Front
      const stage = await setFunction(t, front, { trustProxy })
      const answers = [await stage.invoke(LOG_IN), await stage.invoke(LOG_IN)]
      t.same(answers.map(answer => front.delivers(answer).filter(text => text.includes('; Secure;')).length), [2, 2])
      return stage.log.warnings().map(text => text.includes('trustProxy'))
    }
    await testVisit(t, warnings, [], { trustProxy: [false, [true]] })
  })
})

t.test('an invocation ends after its writes: a runtime that freezes then loses none', async t => {
  const front = FRONTS[4] as Front
  for (const [title, path, seconds, action] of [['a save', '/push', 0, 'UpdateItem'], ['a renewal', '/me', 1000, 'UpdateItem'], ['a log-out', '/logout', 0, 'DeleteItem']] as const) {
    const stage = await setFunction(t, front)
    const cookies = cookieOf({ setCookies: front.delivers(await stage.invoke(LOG_IN)) })
    stage.clock.forward(seconds)
    const gate = stage.proxy.gate(action, 'after')
    let hasEnded = false
    const answer = stage.invoke({ method: path === '/me' ? 'GET' : 'POST', path }, cookies).finally(() => { hasEnded = true })
    await gate.reached
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    t.equal(hasEnded, false, title)
    gate.release()
    t.equal((await answer).statusCode, 200)
    const calls = stage.proxy.take()
    await stage.app.close()
    t.same([calls, stage.proxy.take()], [['PutItem', 'GetItem', action], []], title)
  }
})

t.test('an answer that is streamed begins after the save, and its head has the cookies', async t => {
  const visit = async (t: Test, isLate = false): Promise<unknown> => {
    let handler = async (_event: LambdaEvent, _context: Context): Promise<LambdaResponseStreamed> => await Promise.reject(new Error('not ready'))
    const stage = await setStage(t, engine, {
      before: app => { handler = awsLambdaFastify<LambdaEvent, { payloadAsStream: true }>(app, { payloadAsStream: true }) },
      routes: app => {
        app.get('/page', async ({ session }, reply) => {
          const page = Readable.from((function * () {
            if (isLate) session.set('count', 1)
            yield 'first,'
            yield 'second'
          })())
          if (!isLate) session.set('count', 1)
          return await reply.send(page)
        })
      }
    })
    const gate = isLate ? undefined : stage.proxy.gate('PutItem', 'after')
    let hasBegun = false
    const answer = handler(httpEvent({ path: '/page' }), CONTEXT).finally(() => { hasBegun = true })
    await gate?.reached
    for (let turn = 0; turn < 20; turn++) await nextTurn()
    const begunBefore = hasBegun
    gate?.release()
    const { meta, stream } = await answer
    const body = await text(stream)
    return { begunBefore, names: namesOf({ setCookies: meta.cookies ?? [] }), body, stored: (await stage.items()).length }
  }
  await testVisit(t, visit, { begunBefore: false, names: ['__Host-id', '__Host-id-v'], body: 'first,second', stored: 1 }, {
    'a change before the first byte': [true, { begunBefore: true, names: [], body: 'first,second', stored: 0 }]
  })
})

t.test('between invocations nothing runs and nothing holds the event loop, and a process with nothing to do ends', async t => {
  const table = await createTable(engine)
  const proxy = await FaultProxy.start(engine)
  t.teardown(async () => { await proxy.close() })
  const child = spawn(process.execPath, ['--no-warnings', '--import', './test/support/transpile.mjs', 'test/support/function-loop.ts'], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...NOT_COVERED, DYNAMODB_ENDPOINT: proxy.endpoint, SESSION_TABLE: table }
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ended = once(child, 'close')
  const lines = (await text(child.stdout)).trim().split('\n').map(line => JSON.parse(line) as unknown)
  t.same(await ended, [0, null], 'ended by itself')
  t.same(lines, [
    { empty: true, calls: 0 },
    { answered: '200 ', calls: 1, open: [] },
    { empty: true, calls: 1 },
    { answered: '200 {"userId":"ann"}', calls: 2, open: [] },
    { empty: true, calls: 2 },
    { answered: '200 {"userId":"ann"}', calls: 4, open: [] },
    { empty: true, calls: 4 },
    { closed: true, open: [] },
    { empty: true, calls: 4 }
  ])
  t.same(proxy.take(), ['GetItem', 'PutItem', 'GetItem', 'GetItem', 'UpdateItem'], 'the first is of `verify`, as the application becomes ready')
})
