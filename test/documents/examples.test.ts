import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { CookieJar } from 'tough-cookie'
import { NOT_COVERED } from '../support/children.js'
import { startDynalite } from '../support/engines.js'
import { FaultProxy } from '../support/proxy.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const EXAMPLES = ['counter.ts', 'create-table.ts', 'header-token.ts', 'login.ts', 'typed-session.ts']

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
async function keepPromises (t: Test, promises: readonly Promised[], url: string, proxy: FaultProxy): Promise<string[][]> {
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

/** Runs an example as its comment says, on an engine without tables, and waits until it tells where it listens. */
async function run (t: Test, name: string): Promise<{ url: string, proxy: FaultProxy, startCalls: string[] }> {
  const engine = await startDynalite()
  const proxy = await FaultProxy.start(engine)
  const { AWS_REGION, AWS_DEFAULT_REGION, ...environment } = process.env
  const program = spawn(process.execPath, ['--import', 'tsx', `examples/${name}`], {
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
  const url = await addressOf(program)
  return { url, proxy, startCalls: proxy.take() }
}

async function addressOf (program: ChildProcess): Promise<string> {
  let output = ''
  let complaints = ''
  program.stderr?.on('data', chunk => { complaints += String(chunk) })
  for await (const chunk of program.stdout ?? []) {
    output += String(chunk)
    const url = /^(http:\S+)\n/m.exec(output)?.[1]
    if (url !== undefined) return url
  }
  throw new Error(`The example ended before it listened: ${complaints}`)
}

t.test('the examples are these, each a program of at most 50 lines that says in its first line how to run it', async t => {
  t.same(readdirSync(`${root}examples`).sort(), EXAMPLES)
  for (const name of EXAMPLES) {
    const lines = source(name).trimEnd().split('\n')
    t.ok(lines.length <= 50, `${name}: ${lines.length} lines`)
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
