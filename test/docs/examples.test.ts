import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { DeleteItemCommand, DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb'
import t, { type Test } from 'tap'
import { CookieJar } from 'tough-cookie'
import { COMPILED, NOT_COVERED } from '../support/children.js'
import { blocksIn } from '../support/documents.js'
import { clientConfig, startDynalite } from '../support/engines.js'
import { faults, FaultProxy, type Call } from '../support/proxy.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
/** With the most lines that each may have: what is to be read in one go, and what is to be taken over as it is. */
const EXAMPLES = {
  'counter.ts': 50,
  'create-table.ts': 50,
  'header-token.ts': 50,
  'login.ts': 50,
  'opentelemetry.ts': 100,
  'prometheus.ts': 100,
  'typed-session.ts': 50
}

/** A request that the comment of an example promises, written as a curl command with its answer. */
interface Promised {
  readonly line: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  readonly usesJar: boolean
  /** A status, or the body of a 200. */
  readonly answer: string
}

function source (name: string): string {
  return readFileSync(`${root}examples/${name}`, 'utf8')
}

function promisesOf (name: string): Promised[] {
  return [...source(name).matchAll(/^\/\/ {3}(curl .*?) +# (.*)$/gm)].map(([, line = '', answer = '']) => {
    const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(match => match[1] ?? match[2] ?? '')
    const after = (flag: string): string | undefined => words.includes(flag) ? words[words.indexOf(flag) + 1] : undefined
    const body = after('--json')
    const [, header, value] = /^(.*?): (.*)$/.exec(after('-H') ?? '') ?? []
    return {
      line,
      method: after('-X') ?? (body === undefined ? 'GET' : 'POST'),
      path: words.find(word => word.startsWith('http'))?.replace('http://127.0.0.1:3000', '') ?? '',
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...(header !== undefined && { [header]: value ?? '' }) },
      body,
      usesJar: after('-b') === 'jar' && after('-c') === 'jar',
      answer
    }
  })
}

/** Does what the comment says against a running example; gives the calls that each request made. */
async function keepPromises (t: Test, promises: readonly Promised[], url: string, proxy: Pick<FaultProxy, 'take'>): Promise<string[][]> {
  const jar = new CookieJar()
  let token = ''
  const calls: string[][] = []
  for (const { line, method, path, headers, body, usesJar, answer } of promises) {
    const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.replace('<token of that answer>', token)]))
    const cookie = usesJar ? await jar.getCookieString(url) : ''
    const response = await fetch(url + path, {
      method, headers: { ...sent, ...(cookie !== '' && { cookie }) }, ...(body !== undefined && { body })
    })
    for (const text of response.headers.getSetCookie()) await jar.setCookie(text, url)
    token ||= response.headers.get('session-token') ?? ''
    const text = await response.text()
    if (/^\d{3}$/.test(answer)) t.equal(response.status, Number(answer), line)
    else t.same([response.status, text], [200, answer], line)
    calls.push(proxy.take())
  }
  return calls
}

/** An example that runs. */
interface Program {
  readonly url: string
  readonly proxy: FaultProxy
  /** Where the engine is reached past the proxy. */
  readonly endpoint: string
  readonly startCalls: string[]
  /** All that it has printed, when that has come to have what is looked for. */
  printed (isWhole: (text: string) => boolean): Promise<string>
}

/** Runs an example as its comment says, on an engine without tables, and waits until it tells where it listens. */
async function run (t: Test, name: string): Promise<Program> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const { AWS_REGION, AWS_DEFAULT_REGION, ...environment } = process.env
  const program = spawn(process.execPath, [...COMPILED, `examples/${name}`], {
    cwd: root, env: { ...environment, ...NOT_COVERED, DYNAMODB_ENDPOINT: proxy.endpoint, PORT: '0' }, stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(async () => {
    if (program.exitCode === null && program.signalCode === null) {
      program.kill()
      await once(program, 'exit')
    }
    await engine.close()
    await proxy.close()
  })
  const printed = outputOf(program)
  const text = await printed(text => ADDRESS.test(text))
  return { url: ADDRESS.exec(text)?.[1] ?? '', proxy, endpoint: engine.endpoint, startCalls: proxy.take(), printed }
}

const ADDRESS = /^(http:\S+)\n/m

function outputOf (program: ChildProcess): Program['printed'] {
  let output = ''
  let complaints = ''
  let look = (): void => {}
  program.stderr?.on('data', chunk => { complaints += String(chunk) })
  program.stdout?.on('data', chunk => {
    output += String(chunk)
    look()
  })
  return async isWhole => await new Promise((resolve, reject) => {
    program.once('exit', () => reject(new Error(`The example ended too early: ${complaints}`)))
    look = () => { if (isWhole(output)) resolve(output) }
    look()
  })
}

/** Requests that arrive in one piece, and so begin in one turn of the event loop. Gives the bodies of their answers. */
async function atOnce (url: string, cookies: readonly string[]): Promise<string[]> {
  const { hostname, port, host } = new URL(url)
  const socket = connect(Number(port), hostname)
  const last = cookies.length - 1
  socket.write(cookies.map((cookie, index) => `GET / HTTP/1.1\r\nHost: ${host}\r\nCookie: ${cookie}\r\n${index === last ? 'Connection: close\r\n' : ''}\r\n`).join(''))
  return [...(await text(socket)).matchAll(/\r\n\r\n(\{.*?\})/g)].map(([, body = '']) => body)
}

/** A new visitor's token, as a cookie. */
async function begin (url: string, body?: object): Promise<string> {
  const response = await fetch(url, { method: 'POST', ...body !== undefined && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) } })
  await response.text()
  return response.headers.getSetCookie()[0]?.split(';')[0] ?? ''
}

t.test('the examples are these, each a short program that says in its first line how to run it', async t => {
  t.same(readdirSync(`${root}examples`).sort(), Object.keys(EXAMPLES))
  for (const [name, most] of Object.entries(EXAMPLES)) {
    const lines = source(name).trimEnd().split('\n')
    t.ok(lines.length <= most, `${name}: ${lines.length} lines`)
    t.match(lines[0], /^\/\/ [A-Z].*\. Run: npx tsx examples\//)
    t.match(lines[0], `Run: npx tsx examples/${name}`)
    t.match(source(name), `DYNAMODB_ENDPOINT=http://127.0.0.1:8000 npx tsx examples/${name}`)
    t.match(source(name), "from 'fastify-dynamodb-session'")
    t.notMatch(source(name), /^export/m)
    const commands = [...source(name).matchAll(/^\/\/ {3}curl/gm)]
    t.ok(commands.length > 0 && commands.length === promisesOf(name).length, 'each command tells its answer')
  }
})

t.test('counter.ts counts with one write a request, and a look costs none', async t => {
  const { url, proxy } = await run(t, 'counter.ts')
  t.same(await keepPromises(t, promisesOf('counter.ts'), url, proxy), [[], ['PutItem'], ['GetItem', 'UpdateItem'], ['GetItem']])
})

t.test('login.ts lets a visitor in and out, and refuses a log-in without a name', async t => {
  const { url, proxy } = await run(t, 'login.ts')
  t.same(await keepPromises(t, promisesOf('login.ts'), url, proxy), [[], ['PutItem'], ['GetItem'], ['GetItem', 'DeleteItem'], []])
  const nameless = await fetch(`${url}/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"userId":""}' })
  t.equal(nameless.status, 400)
  t.same(proxy.take(), [])
})

t.test('typed-session.ts keeps settings and searches, and counts a repeated search in place', async t => {
  const { url, proxy } = await run(t, 'typed-session.ts')
  const promises = promisesOf('typed-session.ts')
  t.same(await keepPromises(t, promises, url, proxy), [[], ['PutItem'], ['GetItem'], ['GetItem', 'UpdateItem'], ['GetItem']])

  const [first] = (await fetch(`${url}/recent/tea`, { method: 'POST' })).headers.getSetCookie()
  const cookie = first?.split(';')[0] ?? ''
  await fetch(`${url}/recent/tea`, { method: 'POST', headers: { cookie } })
  t.same(await (await fetch(`${url}/settings`, { headers: { cookie } })).json(), { theme: 'light', recent: [{ term: 'tea', times: 2 }] })
})

t.test('header-token.ts works without cookies, and a forged token costs no call', async t => {
  const { url, proxy } = await run(t, 'header-token.ts')
  const promises = promisesOf('header-token.ts')
  t.same(await keepPromises(t, promises, url, proxy), [['PutItem'], ['GetItem'], [], ['GetItem', 'DeleteItem'], ['GetItem']])

  const login = await fetch(`${url}/login`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })
  t.same(await login.json(), { userId: 'nobody' })
  t.same(login.headers.getSetCookie(), [])
  t.ok(login.headers.has('session-token') && login.headers.has('session-token-v'))
})

t.test('create-table.ts makes the table before it serves, and serves with calls on items only', async t => {
  const { url, proxy, startCalls } = await run(t, 'create-table.ts')
  t.equal(startCalls.filter(action => action === 'CreateTable').length, 1)
  const promises = promisesOf('create-table.ts')
  t.same(await keepPromises(t, promises, url, proxy), [['GetItem'], ['PutItem']])
})

/** Another server, whose calls the proxy does not see. */
function pastTheProxy (t: Test, endpoint: string): DynamoDBClient {
  const client = new DynamoDBClient(clientConfig(endpoint))
  t.teardown(() => client.destroy())
  return client
}

/** A span as the example prints it. */
interface Printed {
  readonly name: string
  readonly id: string
  readonly traceId: string
  readonly kind: number
  readonly parentSpanContext?: { readonly spanId: string }
  readonly attributes: Readonly<Record<string, unknown>>
  readonly status: { readonly code: number }
  readonly events: ReadonlyArray<{ readonly name: string, readonly attributes: Readonly<Record<string, unknown>> }>
}

/** Node prints objects as one would write them. */
function spansIn (output: string): Printed[] {
  return [...output.matchAll(/^\{\n[^]*?^\}\n/gm)].map(([span]) => new Script(`(${span})`).runInNewContext() as Printed)
}

const [SERVER, CLIENT, ERROR] = [1, 2, 2]

t.test('opentelemetry.ts makes a span of each call, under that of its request, alone, in a batch, shared and failed', async t => {
  const { url, proxy, endpoint, printed } = await run(t, 'opentelemetry.ts')
  const { host, port } = new URL(proxy.endpoint)
  let seen = 0
  /** The spans since the last look, as soon as there are so many: those of calls with the name of the request that they belong to. */
  const take = async (count: number): Promise<{ calls: Printed[], requests: Printed[], parents: Array<string | undefined> }> => {
    const spans = spansIn(await printed(text => spansIn(text).length >= seen + count)).slice(seen)
    seen += spans.length
    const requests = spans.filter(({ kind }) => kind === SERVER)
    const calls = spans.filter(({ kind }) => kind === CLIENT)
    t.equal(calls.length + requests.length, spans.length)
    const parents = calls.map(call => requests.find(({ id, traceId }) => id === call.parentSpanContext?.spanId && traceId === call.traceId)?.id)
    t.notOk(parents.includes(undefined), 'each call is under a request')
    return { calls, requests, parents }
  }
  t.same(await keepPromises(t, promisesOf('opentelemetry.ts'), url, proxy), [['PutItem'], ['GetItem']])
  const first = await take(4)
  t.same(first.calls.map(({ name }) => name), ['PutItem sessions', 'GetItem sessions'])
  t.same(first.requests.map(({ name, attributes }) => [name, attributes['http.response.status_code']]), [['POST /', 200], ['GET /', 200]])
  t.same(first.parents, first.requests.map(({ id }) => id), 'also after a body was read')
  t.match(first.calls[1]?.attributes, {
    'db.system.name': 'aws.dynamodb',
    'db.operation.name': 'GetItem',
    'db.collection.name': 'sessions',
    'aws.dynamodb.table_names': ['sessions'],
    'aws.dynamodb.consistent_read': false,
    'aws.dynamodb.consumed_capacity': ['{"TableName":"sessions","CapacityUnits":0.5}'],
    'server.address': host.split(':')[0],
    'server.port': Number(port),
    'session.operation': 'load',
    'session.outcome': 'found'
  })

  const cookies = [await begin(url, { by: 3 }), await begin(url, { by: 4 })] as const
  await take(4)
  proxy.take()
  t.same(await atOnce(url, cookies), ['{"count":3}', '{"count":4}'])
  t.same(proxy.take(), ['BatchGetItem'])
  const batch = await take(4)
  t.same(batch.calls.map(({ name, attributes }) => [name, attributes['db.operation.batch.size']]), [['BatchGetItem sessions', 2], ['BatchGetItem sessions', 2]])
  t.same([...batch.parents].sort(), batch.requests.map(({ id }) => id).sort(), 'each read is under its own request')
  t.equal(new Set(batch.calls.map(({ traceId }) => traceId)).size, 2)

  t.same(await atOnce(url, [cookies[0], cookies[0]]), ['{"count":3}', '{"count":3}'])
  t.same(proxy.take(), ['GetItem'])
  const shared = await take(3)
  t.same([shared.calls.length, shared.requests.length], [1, 2], 'the request that began the read has its span')

  proxy.meet('GetItem', faults.error('AccessDeniedException'))
  t.equal((await fetch(url, { headers: { cookie: cookies[0] } })).status, 503)
  const failed = await take(2)
  t.match(failed.calls, [{ status: { code: ERROR }, attributes: { 'error.type': 'AccessDeniedException', 'session.outcome': 'failed' } }])
  t.match(failed.requests, [{ status: { code: ERROR }, attributes: { 'http.response.status_code': 503 } }])

  const gate = proxy.gate('UpdateItem')
  const late = fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', cookie: cookies[0] }, body: '{"by":1}' })
  const { input } = await gate.reached
  await pastTheProxy(t, endpoint).send(new DeleteItemCommand({ TableName: 'sessions', Key: input['Key'] }))
  gate.release()
  t.equal((await late).status, 409)
  const ended = await take(4)
  t.match(ended.requests[0]?.events, [{ name: 'session.gone' }])
  const output = await printed(() => true)
  for (const cookie of cookies) t.notMatch(output, cookie.slice(cookie.indexOf('=') + 1), 'no id is in any span')
})

interface Sample { readonly name: string, readonly labels: Readonly<Record<string, string>>, readonly value: number }

function samplesIn (text: string): Sample[] {
  return [...text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name = '', labels = '', value]) => ({
    name, labels: Object.fromEntries([...labels.matchAll(/(\w+)="(.*?)"/g)].map(([, label, content]) => [label, content])), value: Number(value)
  }))
}

/** The values of a metric by one of its labels. */
function valuesOf (samples: readonly Sample[], metric: string, label: string): Record<string, number> {
  const values: Record<string, number> = {}
  for (const { name, labels, value } of samples) {
    const key = labels[label] ?? ''
    if (name === metric && value !== 0) values[key] = (values[key] ?? 0) + value
  }
  return values
}

const isRead = ({ action }: Call): boolean => action.endsWith('GetItem')

t.test('prometheus.ts counts what the proxy counts, and its metrics are those of the dashboard and the alerts', async t => {
  const { url, proxy, endpoint } = await run(t, 'prometheus.ts')
  const scrape = async (): Promise<Sample[]> => samplesIn(await (await fetch(`${url}/metrics`)).text())
  const answer = async (method: string, cookie: string, path = '/'): Promise<number> => (await fetch(url + path, { method, headers: { cookie } })).status
  const seen: Call[] = []
  await scrape()
  t.same(proxy.take(), [], 'a scrape costs no call')
  t.same(await keepPromises(t, promisesOf('prometheus.ts'), url, { take: () => { seen.push(...proxy.takeCalls()); return [] } }), [[], []])
  const cookies = [await begin(url), await begin(url), await begin(url)]
  await atOnce(url, cookies)
  await atOnce(url, [cookies[0] ?? '', cookies[0] ?? ''])
  t.equal(await answer('GET', `${cookies[0]?.split('=')[0]}=${'A'.repeat(43)}`), 200)
  t.equal(await answer('GET', `${cookies[0]?.split('=')[0]}=bad`), 200)

  const direct = pastTheProxy(t, endpoint)
  const held = async (cookie: string, meanwhile: (key: Call['input']) => Promise<unknown>): Promise<number> => {
    const gate = proxy.gate('UpdateItem')
    const answered = answer('POST', cookie)
    await meanwhile((await gate.reached).input['Key'])
    gate.release()
    return await answered
  }
  t.equal(await held(cookies[0] ?? '', async Key => await direct.send(new UpdateItemCommand({
    TableName: 'sessions', Key, UpdateExpression: 'SET #d.#c = :c ADD ver :one', ExpressionAttributeNames: { '#d': 'data', '#c': 'count' }, ExpressionAttributeValues: { ':c': { S: '7' }, ':one': { N: '1' } }
  }))), 200)
  t.equal(await held(cookies[1] ?? '', async () => await answer('POST', cookies[1] ?? '', '/log-out')), 409)
  seen.push(...proxy.takeCalls())

  const before = await scrape()
  const counted: Record<string, number> = {}
  for (const { action } of seen) counted[action] = (counted[action] ?? 0) + 1
  t.ok(counted['BatchGetItem'] === 1 && counted['DeleteItem'] === 1)
  t.same(valuesOf(before, 'dynamodb_session_calls_total', 'action'), counted)
  t.same(valuesOf(before, 'dynamodb_session_capacity_units_total', 'kind'), {
    read: unitsOf(seen.filter(isRead)), write: unitsOf(seen.filter(call => !isRead(call)))
  })
  t.same(valuesOf(before, 'dynamodb_session_opened_total', 'outcome'), { found: 9, missing: 1, forged: 1 })
  t.same(valuesOf(before, 'dynamodb_session_operations_total', 'outcome'), { found: 9, missing: 2, done: 6, refused: 2 })
  t.same(valuesOf(before, 'dynamodb_session_gone_total', 'reason'), { missing: 1 })
  t.same(valuesOf(before, 'dynamodb_session_conflicts_total', ''), { '': 1 })
  t.same(valuesOf(before, 'dynamodb_session_errors_total', 'code'), { FST_DYNAMODB_SESSION_GONE: 1 })

  await proxy.stop()
  t.equal(await answer('GET', cookies[2] ?? ''), 503)
  const after = await scrape()
  t.same(valuesOf(after, 'dynamodb_session_operations_total', 'outcome')['failed'], 1)
  t.same(valuesOf(after, 'dynamodb_session_opened_total', 'outcome')['failed'], 1)
  t.same(valuesOf(after, 'dynamodb_session_errors_total', 'code'), { FST_DYNAMODB_SESSION_GONE: 1, FST_DYNAMODB_SESSION_UNAVAILABLE: 1 })
  assertQueries(t, after)
})

function unitsOf (calls: readonly Call[]): number {
  return calls.reduce((sum, { capacity }) => sum + capacity, 0)
}

/** Every metric, label and value of the dashboard and of the alerts is one that the example has told. */
function assertQueries (t: Test, samples: readonly Sample[]): void {
  const { panels, templating } = JSON.parse(readFileSync(`${root}docs/grafana.json`, 'utf8')) as Dashboard
  const alerts = blocksIn(readFileSync(`${root}docs/observability.md`, 'utf8'), 'yaml').join('\n')
  const queries = [...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)), ...[...alerts.matchAll(/expr: (.*)/g)].map(([, expr = '']) => expr)]
  t.ok(panels.length >= 8 && queries.length >= 14)
  assertPanels(t, panels)
  const names = new Set(samples.map(({ name }) => name))
  const asked = new Set<string>()
  for (const query of queries) {
    const metrics = [...query.matchAll(/(dynamodb_session_\w+)(?:\{(.*?)\})?/g)]
    t.ok(metrics.length > 0, query)
    const known = samples.filter(({ name }) => metrics.some(([, metric]) => metric === name))
    for (const [, name = '', matchers = ''] of metrics) {
      asked.add(name)
      t.ok(names.has(name), `${name} in ${query}`)
      for (const [, label = '', value = ''] of matchers.matchAll(/(\w+)(?:=~|!=|=)"(.*?)"/g)) {
        if (label === 'job') continue
        const told = known.filter(sample => sample.name === name).map(({ labels }) => labels[label])
        t.notOk(told.includes(undefined), `${label} of ${name}`)
        for (const one of value.split('|')) t.ok(told.includes(one) || POSSIBLE.has(one), `${label}="${one}" of ${name}`)
      }
    }
    for (const [, labels = ''] of query.matchAll(/by \((.*?)\)/g)) {
      for (const label of labels.split(', ').filter(label => label !== 'job')) t.ok(known.some(sample => label in sample.labels), `${label} in ${query}`)
    }
  }
  const told = [...names].filter(name => name.startsWith('dynamodb_session_') && !/_(sum|count)$/.test(name))
  t.same(told.filter(name => !asked.has(name)), [], 'and what is told is looked at')
  t.same(templating.list.map(({ name, type }) => [name, type]), [['datasource', 'datasource'], ['job', 'query']])
}

/** Beside each other in Grafana's 24 columns, each with its source, and by the job and the interval that are chosen. */
function assertPanels (t: Test, panels: Dashboard['panels']): void {
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = new Set<string>()
  for (const { title, gridPos: { x, y, w, h }, targets = [], datasource } of panels) {
    t.ok(x + w <= 24, title)
    for (let cell = 0; cell < w * h; cell++) cells.add(`${x + cell % w} ${y + Math.floor(cell / w)}`)
    t.ok(targets.length > 0 && new Set(targets.map(({ refId }) => refId)).size === targets.length, title)
    for (const target of [{ datasource }, ...targets]) t.same(target.datasource, { type: 'prometheus', uid: '${datasource}' }, title) // eslint-disable-line no-template-curly-in-string
    for (const { expr } of targets) {
      const [all, chosen, rates] = [/dynamodb_session_\w+/g, /dynamodb_session_\w+\{[^}]*job=~"\$job"\}\[\$__rate_interval\]/g, /rate\(/g].map(pattern => [...expr.matchAll(pattern)].length)
      t.same([chosen, rates], [all, all], expr)
      t.equal(expr.split('(').length, expr.split(')').length, expr)
    }
  }
  t.equal(cells.size, panels.reduce((sum, { gridPos: { w, h } }) => sum + w * h, 0), 'none lies over another')
}

/** Values of labels that this run has not come to. */
const POSSIBLE: ReadonlySet<string> = new Set(['replaced', 'expired', 'ambiguous'])

interface Dashboard {
  readonly panels: ReadonlyArray<{
    readonly id: number
    readonly title: string
    readonly datasource: unknown
    readonly gridPos: { readonly x: number, readonly y: number, readonly w: number, readonly h: number }
    readonly targets?: ReadonlyArray<{ readonly refId: string, readonly expr: string, readonly datasource: unknown }>
  }>
  readonly templating: { readonly list: ReadonlyArray<{ readonly name: string, readonly type: string }> }
}
