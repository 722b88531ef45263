import { Console } from 'node:console'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { Writable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { format, inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import dynamoSession, { errors, SessionManager, type DynamoSessionOptions, type Session } from '../index.js'
import { safeCause } from '../lib/errors.js'
import { hash } from '../lib/token.js'
import { addRoutes, LogLines, setStage, type Stage } from './support/app.js'
import { clientConfig, startDynalite, type Engine } from './support/engines.js'
import { setKeeper } from './support/memory.js'
import { faults, type Fault } from './support/proxy.js'
import { canary, notePrinted, notes, printedBy } from './support/silence.js'
import { readNotes, search, secretsInItems, textOf, writeNotes } from './support/silence-search.js'
import './support/session-data.js'

interface Pino {
  (options: object, stream: { write (line: string): void }): Record<'trace', (...args: unknown[]) => void>
  readonly stdSerializers: Readonly<Record<'err' | 'errWithCause', (error: Error) => unknown>>
}

// Fastify's own, by which applications log.
const pino = createRequire(createRequire(import.meta.url).resolve('fastify'))('pino') as Pino

const ARN = 'arn:aws:sts::123456789012:assumed-role/web/i-0abc'
const DENIED = `User: ${ARN} is not authorized to perform: dynamodb:GetItem on resource: arn:aws:dynamodb:eu-central-1:123456789012:table/sessions`
const SECRETS = 'a secret of thirty-two characters.'
const KEY = new Uint8Array(32).fill(9)

let engine: Engine
t.before(async () => { engine = await startDynalite() })
t.teardown(async () => { await engine.close() })

t.test('the search', async t => {
  const secret = 'k3yS-of_43CharactersWhichNobodyMayEverSee-0'
  const found = (text: string): string[] => search({ secrets: new Set([secret]), printed: [{ where: 'log', text }] })

  t.test('finds a secret however it is printed and whatever stands around it', async t => {
    const bytes = Buffer.from(secret, 'base64url')
    const texts = {
      plain: secret,
      'within a word': `abc${secret}xyz`,
      'in a signed token': `${secret}.c2lnbmF0dXJl`,
      'in JSON in JSON': JSON.stringify(JSON.stringify({ id: secret })),
      'in a path': `/sessions/${secret}/cart`,
      'its bytes in base64': bytes.toString('base64'),
      'its bytes in hex': bytes.toString('hex'),
      'its text in hex': Buffer.from(secret).toString('hex').toUpperCase(),
      'every character percent-encoded': [...secret].map(one => `%${one.charCodeAt(0).toString(16)}`).join(''),
      'base64, percent-encoded': encodeURIComponent(Buffer.from(`??${secret}>>`).toString('base64')),
      ...Object.fromEntries(['', 'a', 'ab'].flatMap(before => ['', 'c', 'cd'].flatMap(after => (['base64', 'base64url'] as const).map(encoding =>
        [`${before}…${after} in ${encoding}`, Buffer.from(before + secret + after).toString(encoding)]))))
    }
    for (const [name, text] of Object.entries(texts)) t.match(found(text), [/^log: a secret/], name)
  })

  t.test('finds ARNs, accounts and attributes of DynamoDB', async t => {
    t.match(found(DENIED), [/an ARN/])
    t.match(found('of account 123456789012.'), [/an account/])
    for (const text of ['{"data":{"S":"x"}}', '{\\"data\\":{\\"N\\":\\"1\\"}}', "{ data: { S: 'x' } }", '{ data: { B: Uint8Array(2) [ 1, 2 ] } }']) {
      t.match(found(text), [/an attribute of DynamoDB/], text)
    }
    t.match(found("{ data: { M: { a: { S: 'x' } } } }"), [/an attribute/, /a list or map/])
  })

  t.test('finds nothing in what may be printed', async t => {
    t.same(found(`{"level":40,"time":1795186636365,"loggableId":"${hash(secret)}","msg":"A session could not be prolonged"}`), [])
    t.same(found('arn:[redacted] [redacted] 1234567890123 0.123456789012 {"keys":["S","cart"]}'), [])
    t.same(found(secret.slice(0, -2)), [], 'a part that is not the secret')
  })

  t.test('finds what stands in items, as text or as bytes', async t => {
    const secrets = new Set([secret])
    for (const value of [{ S: secret }, { M: { [secret]: { NULL: true } } }, { L: [{ SS: ['a', secret] }] }, { B: Buffer.from(secret) }, { B: Buffer.from(secret, 'base64url') }]) {
      t.same(secretsInItems([{ id: { S: 'x' }, data: value }] as never, secrets), [secret], inspect(value))
    }
    t.same(secretsInItems([{ id: { S: hash(secret) }, data: { M: {} } }], secrets), [])
  })

  t.test('of many processes is of all that they have left', async t => {
    const folder = t.testdir({ 'other.json': JSON.stringify({ secrets: [], printed: [{ where: 'other.test.ts, log', text: `by ${secret}` }] }) })
    writeNotes({ secrets: new Set([secret]), printed: [] }, folder)
    t.match(search(readNotes(folder)), [`other.test.ts, log: a secret (${secret}) in …by ${secret}…`])
  })

  t.test('is quick', async t => {
    const secrets = new Set(Array.from({ length: 2000 }, (_, index) => hash(String(index))))
    const printed = Array.from({ length: 20_000 }, (_, index) => ({ where: 'log', text: `{"loggableId":"${hash(`k${index}`)}","msg":"A session could not be prolonged"}` }))
    const start = performance.now()
    t.same(search({ secrets, printed }), [])
    t.ok(performance.now() - start < 5000)
  })
})

t.test('the suite hears ids, answers, logs and channels', async t => {
  const stage = await setStage(t, engine, {
    routes: app => {
      addRoutes(app)
      app.get('/header', async ({ session }, reply) => { reply.header('x-debug', session.id) })
      app.get('/log', async ({ session, log }) => { log.info(`of ${session.id}`) })
      app.get('/fail', async ({ session }) => { throw new Error(`of ${session.id}`) })
    }
  })
  const visitor = stage.visitor()
  await visitor.post('/login')
  const id = visitor.cookie('__Host-id') ?? ''
  t.ok(notes.secrets.has(id))
  for (const [url, where] of [['/header', 'headers'], ['/log', 'log'], ['/fail', 'body']] as const) {
    const printed = await printedBy(async () => await visitor.get(url), { forget: true })
    const findings = search({ secrets: notes.secrets, printed })
    t.ok(findings.some(finding => finding.startsWith(`${where}: a secret (${id})`)), url)
  }
  const printed = await printedBy(async () => await visitor.get('/me'))
  t.ok(printed.some(({ where }) => where === 'fastify-dynamodb-session:load:asyncEnd'))
  const { keeper, log } = setKeeper()
  t.ok((await printedBy(async () => { log.warn({ loggableId: 'x' }, 'a remark') })).some(({ text }) => text === 'a remark'))
  t.ok(notes.secrets.has(keeper.settings.tokens.makeId()), 'ids outside of requests too')
})

t.test('a table with an id in it is noticed when its stage is taken down', async t => {
  const stage = await setStage(t, engine)
  const visitor = stage.visitor()
  await visitor.post('/login')
  const [item = {}] = await stage.items()
  t.same(secretsInItems([item], notes.secrets), [])
  t.same(secretsInItems([{ ...item, note: { S: `id=${visitor.cookie('__Host-id')}` } }], notes.secrets), [visitor.cookie('__Host-id')])
})

/** Everything that somebody may print a thing with. */
function printings (thing: unknown): Record<string, string> {
  const lines: string[] = []
  const stream = new Writable({
    write (chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    }
  })
  const console = new Console(stream, stream)
  for (const print of ['log', 'dir', 'error', 'trace'] as const) console[print](thing)
  const log = pino({ level: 'trace' }, { write: line => { lines.push(line) } })
  log.trace({ thing, session: thing, err: thing, error: thing })
  if (thing instanceof Error) lines.push(jsonOf(pino.stdSerializers.errWithCause(thing)))
  return {
    inspect: inspect(thing),
    'all of it': inspect(thing, { depth: Infinity, showHidden: true, showProxy: true, getters: true }),
    'without custom inspection': inspect(thing, { depth: Infinity, showHidden: true, customInspect: false }),
    'within something': inspect({ request: { thing: [thing] } }, { depth: Infinity }),
    text: `${thing as string}`,
    json: jsonOf(thing),
    'json of what holds it': jsonOf({ thing: [thing] }),
    formats: format('%s %o %O %j %d', thing, thing, thing, thing, thing),
    clone: cloneOf(thing),
    'console and pino': lines.join('')
  }
}

function jsonOf (thing: unknown): string {
  try {
    return JSON.stringify(thing) ?? ''
  } catch (error) {
    return String(error)
  }
}

function cloneOf (thing: unknown): string {
  try {
    return inspect(structuredClone(thing), { depth: Infinity })
  } catch (error) {
    return inspect(error)
  }
}

/** No way of printing it tells a secret. */
function assertSilent (t: Test, thing: unknown, what: string): void {
  const printed = Object.entries(printings(thing)).map(([where, text]) => ({ where, text }))
  t.same(search({ secrets: notes.secrets, printed }), [], what)
}

t.test('whatever prints a session finds key names and the loggable id', async t => {
  const stage = await setStage(t, engine, { session: { secrets: SECRETS } })
  const [name, cart, member] = [canary(), canary(), canary()]
  const session = await stage.app.sessions.create({ userId: name, cart: [cart], 'any:x': { deep: { deeper: [member] } } })
  const states: Record<string, Session> = {
    stored: session,
    loaded: await stage.app.sessions.load(session.id as string, { required: true }),
    changed: await stage.app.sessions.load(session.id as string, { required: true }),
    'regenerated, not saved': await stage.app.sessions.load(session.id as string, { required: true }),
    destroyed: await stage.app.sessions.create({ userId: canary() })
  }
  states['changed']?.set('any:new', canary())
  await states['regenerated, not saved']?.regenerate(true)
  await states['destroyed']?.destroy()
  for (const [what, state] of Object.entries(states)) assertSilent(t, state, what)
  for (const text of [inspect(session), JSON.stringify(session)]) {
    t.match(text, session.loggableId as string)
    t.match(text, 'cart')
  }
  t.throws(() => structuredClone(session), { name: 'DataCloneError' }, 'a session is not handed to another thread by mistake')
  assertSilent(t, stage.app.sessions, 'the manager')
})

t.test('what lists the members of a session gets its data, so a session is logged as a member of something', async t => {
  const { app } = await setStage(t, engine)
  const session = await app.sessions.create({ userId: 'u-42' })
  const lines = new LogLines()
  pino({ level: 'trace' }, lines).trace({ session })
  t.same(lines.lines[0]?.['session'], { loggableId: session.loggableId, keys: ['userId'] })
  t.same({ ...session }, { userId: 'u-42' })
})

t.test('what a request has of its session prints no value and no id', async t => {
  const value = canary()
  const printedForms: string[] = []
  const bare = await namesOfRequest()
  const stage = await setStage(t, engine, {
    session: { secrets: SECRETS },
    routes: app => {
      addRoutes(app)
      app.get('/look', async request => {
        request.session.set('count', 1)
        request.log.info({ session: request.session, req: request, res: {} }, 'seen')
        // What the plugin has added to a request. In what Fastify has there, the headers, the token stands in any case.
        const added = Reflect.ownKeys(request).filter(name => !bare.has(name)).map(name => Reflect.get(request, name) as unknown)
        printedForms.push(inspect([request.session, ...added], { depth: Infinity, showHidden: true }))
        return {}
      })
    }
  })
  const visitor = stage.visitor()
  await visitor.post('/set', { userId: value, cart: [value] })
  const printed = await printedBy(async () => { t.equal((await visitor.get('/look')).statusCode, 200) })
  t.same(search({ secrets: notes.secrets, printed }), [], "Fastify's log of a request")
  t.match(printedForms, [/keys/])
  const text = String(printedForms[0])
  t.same(search({ secrets: notes.secrets, printed: [{ where: 'inspect', text }] }), [], 'console.dir(request)')
})

/** What a request has of its own without the plugin. */
async function namesOfRequest (): Promise<Set<string | symbol>> {
  const app = Fastify()
  const names = new Set<string | symbol>()
  app.get('/', async request => {
    for (const name of Reflect.ownKeys(request)) names.add(name)
    return {}
  })
  await app.inject('/')
  await app.close()
  return names
}

/** What a service may say about a call, with everything in it that logs must not have. */
function awsError (name: string, message: string, value: string, members: object = {}): Error {
  const item = { id: { S: hash(value) }, data: { M: { userId: { S: JSON.stringify(value) } } } }
  const error = Object.assign(new Error(message), {
    name,
    $fault: 'client',
    $metadata: { httpStatusCode: 400, requestId: 'R1', attempts: 1 },
    Item: item,
    Key: { id: item.id },
    CancellationReasons: [{ Code: 'ConditionalCheckFailed', Item: item }],
    ...members
  })
  const $response = { statusCode: 400, headers: { 'set-cookie': `id=${value}`, cookie: `__Host-id=${value}` }, body: JSON.stringify({ Item: item }) }
  return Object.defineProperty(error, '$response', { value: $response, enumerable: false })
}

t.test('causes', async t => {
  const value = canary()

  t.test('with an ARN lose it, and their members, however deep', async t => {
    const cause = awsError('AccessDeniedException', DENIED, value)
    assertSilent(t, safeCause(cause), 'a cause')
    assertSilent(t, safeCause(new Error('outer', { cause: awsError('AccessDeniedException', DENIED, value, { cause }) })), 'a chain')
    assertSilent(t, new errors.Unavailable({ cause: safeCause(cause) }), 'an error of ours')
  })

  t.test('without any such text lose their members all the same', async t => {
    for (const name of ['ConditionalCheckFailedException', 'TransactionCanceledException', 'ValidationException', 'UnknownException']) {
      assertSilent(t, safeCause(awsError(name, 'Refused.', value)), name)
      assertSilent(t, new errors.Unavailable({ cause: safeCause(new Error('outer', { cause: awsError(name, 'Refused.', value) })) }), `${name} in a chain`)
    }
  })

  t.test('keep what tells an operator what happened', async t => {
    const safe = safeCause(awsError('ThrottlingException', `Slow down, ${ARN}`, value)) as Error & { $metadata?: object }
    t.equal(safe.name, 'ThrottlingException')
    t.equal(safe.message, 'Slow down, arn:[redacted]')
    t.match(safe.$metadata, { requestId: 'R1' })
    t.match(safe.stack, 'silence.test.ts')
  })
})

t.test('every error of ours prints its code, its text and a safe cause', async t => {
  const value = canary()
  for (const [name, Failure] of Object.entries(errors)) {
    const Class = Failure as unknown as new (...args: unknown[]) => Error & { code: string }
    const texts = Array.from({ length: (Failure.prototype as { message?: string }).message === undefined ? 3 : 0 }, () => 'x')
    const error = new Class(...texts, { cause: safeCause(awsError('AccessDeniedException', DENIED, value)) })
    assertSilent(t, error, name)
    t.strictSame(Object.keys(error).filter(member => !['name', 'code', 'statusCode', 'message', 'cause'].includes(member)), [], `${name} has no other members`)
  }
})

/** What befalls every call of an operation, with a value of the session and what AWS tells in its texts. */
function troubles (value: string): Record<string, Fault> {
  const Item = { id: { S: 'x' }, data: { M: { userId: { S: JSON.stringify(value) } } } }
  const Key = { id: Item.id, note: { S: value } }
  return {
    denied: faults.error('AccessDeniedException', { message: DENIED }),
    'conditional check, with the item': faults.error('ConditionalCheckFailedException', { message: 'The conditional request failed', fields: { Item } }),
    'transaction cancelled, with the items': faults.error('TransactionCanceledException', { message: 'Cancelled', fields: { CancellationReasons: [{ Code: 'C', Item }] } }),
    'an error that nobody knows, with members': faults.error('StrangeException', { message: 'Strange', fields: { Key, Item, Attributes: Item.data.M } }),
    invalid: faults.error('ValidationException', { message: `Of ${ARN}`, fields: { Item } }),
    'a page': faults.raw(502, `<html>of ${value}</html>`, 'text/html'),
    'half an item': faults.raw(200, JSON.stringify({ Item }).slice(0, -9), 'application/x-amz-json-1.0', { 'set-cookie': value }),
    'an empty answer': faults.emptyObject,
    'a damaged answer': faults.badCrc,
    'a connection that breaks': faults.resetAfter
  }
}

/** What a request does with its session. The names are those of routes. */
const ACTS: Readonly<Record<string, (session: Session, value: string) => unknown>> = {
  load: () => {},
  change: (session, value) => { session.set('any:more', value) },
  save: async (session, value) => {
    session.set('any:more', value)
    await session.save()
  },
  touch: async session => {
    session.touch()
    await session.save()
  },
  update: async (session, value) => { await session.update('any:more', () => value) },
  regenerate: async (session, value) => {
    await session.regenerate()
    session.set('userId', value)
  },
  destroy: async session => { await session.destroy() },
  reload: async session => { await session.reload() }
}

function addActs (app: FastifyInstance, value: () => string): void {
  for (const [name, act] of Object.entries(ACTS)) {
    app.post(`/${name}`, async ({ session, log }) => {
      try {
        await act(session, value())
        log.trace({ session }, name)
      } catch (err) {
        log.trace({ session, err, error: err }, name)
        log.error(err)
        log.trace(inspect(err, { depth: Infinity }))
        throw err
      }
      return {}
    })
  }
}

/** A stage that logs all there is. */
async function setTalkative (t: Test, value: string, session: Partial<DynamoSessionOptions> = {}): Promise<Stage> {
  const log = new LogLines()
  const stage = await setStage(t, engine, {
    session: { secrets: SECRETS, ...session },
    fastify: { logger: { level: 'trace', stream: log } },
    routes: app => {
      addRoutes(app)
      addActs(app, () => value)
    }
  })
  return { ...stage, log }
}

t.test('no failure of any operation prints an id, a value, an ARN or an account', async t => {
  const value = canary()
  for (const [name, fault] of Object.entries(troubles(value))) {
    t.test(name, async t => {
      const stage = await setTalkative(t, value)
      const statuses: number[] = []
      const printed = await printedBy(async () => {
        for (const act of Object.keys(ACTS)) {
          const visitor = stage.visitor()
          await visitor.post('/set', { userId: value, cart: [value] })
          stage.clock.forward(1)
          // The read passes, so that the act is reached, but for the act that only reads.
          const rule = stage.proxy.meet({ times: 20, letBy: act === 'load' ? 0 : 1 }, fault)
          statuses.push((await visitor.post(`/${act}`)).statusCode)
          rule.remove()
        }
      })
      t.ok(statuses.includes(503) || statuses.includes(409), `is a failure: ${statuses.join()}`)
      t.ok(printed.some(({ where }) => where === 'log') && printed.some(({ where }) => where === 'body'))
      t.same(search({ secrets: notes.secrets, printed }), [])
    })
  }
})

t.test("Fastify's own log and answer of a refused permission name no role, no account and no table's ARN", async t => {
  const stage = await setTalkative(t, canary())
  const visitor = stage.visitor()
  await visitor.post('/login')
  stage.proxy.meet('GetItem', faults.error('AccessDeniedException', { message: DENIED }))
  stage.log.lines.splice(0)
  const response = await visitor.get('/me')
  t.equal(response.statusCode, 503)
  t.strictSame(response.json(), {
    statusCode: 503,
    code: 'FST_DYNAMODB_SESSION_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'Sessions cannot be read or written at the moment. Try again in a few seconds; the cause is in the log.'
  })
  const line = stage.log.lines.find(({ err }) => err !== undefined)
  t.match(line?.['err'].stack, 'arn:[redacted]', 'the log has the text of the cause')
  t.match(line?.['err'].stack, 'AccessDeniedException')
  t.notMatch(JSON.stringify(stage.log.lines) + response.body, /arn:aws|123456789012|i-0abc/)
})

t.test('a client that was handed in checks no answer, and what it cannot parse is not quoted', async t => {
  // Short, as the parser quotes ten characters on either side.
  const pin = 'pin-7'
  const stage = await setStage(t, engine)
  const client = new DynamoDBClient(clientConfig(stage.proxy.endpoint))
  const lines = new LogLines()
  const other = await setStage(t, engine, { session: { client, table: stage.table, now: stage.clock.now }, fastify: { logger: { stream: lines } } })
  t.teardown(() => client.destroy())
  const visitor = other.visitor()
  await visitor.post('/set', { userId: pin })
  stage.proxy.meet('GetItem', faults.bitflip('{"S":"\\"pin', '{"S":~"\\"pin'))
  t.equal((await visitor.get('/me')).statusCode, 503)
  t.match(JSON.stringify(lines.lines), 'SyntaxError', 'the log says what happened')
  t.notMatch(JSON.stringify(lines.lines), pin)
})

t.test('a start that is refused, or that cannot reach its table, tells no ARN', async t => {
  const printed = await printedBy(async () => {
    for (const [name, status] of [['AccessDeniedException', 400], ['ResourceNotFoundException', 400], ['ValidationException', 400], ['InternalServerError', 500]] as const) {
      const stage = await setStage(t, engine)
      stage.proxy.meet({ times: Infinity }, faults.error(name, { message: DENIED, status }))
      const lines = new LogLines()
      const app = Fastify({ logger: { level: 'trace', stream: lines } })
      t.teardown(async () => { await app.close() })
      await app.register(dynamoSession, { table: `arn:aws:dynamodb:eu-central-1:123456789012:table/${stage.table}`, client: clientConfig(stage.proxy.endpoint) })
      try {
        await app.ready()
        t.equal(lines.warnings().length, 1, 'told to the log')
      } catch (error) {
        assertSilent(t, error, name)
        notePrinted('start', inspect(error, { depth: Infinity, showHidden: true }))
      }
    }
  })
  t.same(search({ secrets: notes.secrets, printed }), [])
})

t.test('a session that cannot be read is warned of in the same silence', async t => {
  const value = canary()
  const stage = await setTalkative(t, value, { readFailure: 'anonymous' })
  const visitor = stage.visitor()
  await visitor.post('/set', { userId: value })
  const printed = await printedBy(async () => {
    stage.proxy.meet({ times: 2 }, faults.error('AccessDeniedException', { message: DENIED, fields: { Item: { id: { S: value } } } }))
    t.equal((await visitor.post('/load')).statusCode, 200)
    t.equal((await visitor.post('/set', { userId: value })).statusCode, 503)
  })
  t.ok(stage.log.warnings().includes('A session cannot be read, so its request goes on without'))
  t.same(search({ secrets: notes.secrets, printed }), [])
})

t.test("a manager without Fastify speaks by the process's warnings, in the same silence", async t => {
  const value = canary()
  const stage = await setStage(t, engine)
  const manager = new SessionManager({ table: stage.table, client: clientConfig(stage.proxy.endpoint) })
  t.teardown(async () => { await manager.close() })
  const id = randomBytes(32).toString('base64url')
  await stage.put({ id: { S: hash(id) }, note: { S: value } })
  const printed = await printedBy(async () => {
    t.equal(await manager.load(id), null)
    await nextTurn()
  })
  t.ok(printed.some(({ where, text }) => where === 'warning' && text.includes('counts as absent')))
  t.same(search({ secrets: new Set([...notes.secrets, id]), printed }), [])
})

/** The ordinary life of a shop's visitors. Returns the tokens that they were given. */
async function live (stage: Stage, header: string | undefined, values: { [Name in 'user' | 'cart' | 'old' | 'new' | 'deep' | 'long']: string }): Promise<string[]> {
  const tokens: string[] = []
  for (let count = 0; count < 3; count++) {
    const headers: Record<string, string> = {}
    const visitor = stage.visitor()
    const post = async (url: string, payload: object): Promise<void> => {
      const response = await visitor.post(url, payload, { headers })
      if (response.statusCode !== 200) throw new Error(`${url}: ${response.body}`)
      const sent = response.headers[header ?? '']
      if (typeof sent === 'string' && sent !== '') headers[header ?? ''] = sent
      tokens.push(...sent === undefined ? [visitor.cookie('__Host-id') ?? ''] : [String(sent)])
    }
    await post('/set', { cart: [values.old], [`any:${count}`]: { deep: [{ deeper: values.deep }] } })
    await post('/login', {})
    await post('/set', { userId: values.user, cart: [values.cart], 'any:long': `${values.long} `.repeat(200) })
    await post('/push', {})
    await post('/update', {})
    await post('/save', {})
    if (count % 2 === 0) await post('/regenerate', {})
    if (count === 0) await post('/keep', {})
  }
  await stage.app.sessions.create({ userId: values.user, 'any:bytes': { x: values.new } })
  return [...new Set(tokens)].filter(token => token !== '')
}

const FORMATS = {
  json: 'json',
  native: 'native',
  codec: { name: 'reversed', encode: (value: unknown) => Buffer.from(JSON.stringify(value)).reverse(), decode: (bytes: string | Uint8Array) => JSON.parse(Buffer.from(bytes as Uint8Array).reverse().toString()) as unknown }
} as const

async function dump (t: Test, session: Partial<DynamoSessionOptions>) {
  const values = { user: canary(), cart: canary(), old: canary(), new: canary(), deep: canary(), long: canary() }
  const stage = await setStage(t, engine, {
    session: { secrets: SECRETS, ...session },
    routes: app => {
      addRoutes(app)
      addActs(app, () => values.new)
      app.post('/keep', async ({ session }) => { await session.regenerate(true) })
    }
  })
  const tokens = await live(stage, session.header, values)
  const items = await stage.items()
  return { items, tokens, values: Object.values(values), found: secretsInItems(items, notes.secrets), text: textOf(items).join('\n') }
}

t.test('a stolen table', async t => {
  for (const [name, format] of Object.entries(FORMATS)) {
    for (const [way, session] of [['by cookie', {}], ['compressed, by header', { compress: true, header: 'x-session' }]] as const) {
      t.test(`sealed, ${name}, ${way}`, async t => {
        const { items, tokens, found, text } = await dump(t, { encryptionKeys: KEY, format, ...session })
        t.ok(items.length >= 9 && tokens.length >= 9, `${items.length} items, ${tokens.length} tokens`)
        t.same(found, [], 'no id and no value in any of its forms')
        for (const part of tokens.flatMap(token => token.split('.'))) t.notOk(text.includes(part), 'nor any part of a token')
        t.match(text, /userId[^]*any:long/, 'the names of session keys can be read')
      })
    }
  }

  t.test('that is not sealed tells its values and still no id, which shows that the search finds them', async t => {
    for (const format of ['json', 'native'] as const) {
      const { values, found } = await dump(t, { format })
      t.same(found.sort(), values.filter(value => found.includes(value)).sort(), 'only values')
      t.ok(found.length >= 4, `${found.length} values`)
    }
  })
})
