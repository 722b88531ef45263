import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import Fastify from 'fastify'
import t from 'tap'
import ts from 'typescript'
import dynamoSession from '../../index.js'
import { resolveOptions } from '../../lib/options.js'
import { memoryRepository } from '../../testing/index.js'
import { setStage } from '../support/app.js'
import { COMPILED, NOT_COVERED } from '../support/children.js'
import { blocksIn, EXAMPLES_CONFIG, read, root } from '../support/documents.js'
import { startDynalite } from '../support/engines.js'
import { ADVISORIES, titlesOf } from '../support/titles.js'

const PAGE = 'docs/security.md'
const page = read(PAGE)

const VERDICTS = ['default', 'offered', 'application', 'not yet']
/** The lines of the sources, so that none is left out. ASVS 4 has marks of its own here, because 5.0 uses the same numbers. */
const LINES = [
  ...numbered('C', 27),
  '7.1.1', '7.1.2', '7.1.3', '7.2.1', '7.2.2', '7.2.3', '7.2.4', '7.3.1', '7.3.2', '7.4.1', '7.4.2', '7.4.3', '7.4.4', '7.4.5',
  '7.5.1', '7.5.2', '7.5.3', '7.6.1', '7.6.2', '3.3.1', '3.3.2', '3.3.3', '3.3.4', '3.3.5',
  '4-3.1.1', '4-3.2.2', '4-3.2.4', '4-3.3.2', '4-3.3.4', '4-3.4.1', '4-3.4.2', '4-3.4.3', '4-3.4.4', '4-3.4.5', '4-3.7.1', '4-half-open',
  ...numbered('N', 10)
]

function numbered (letter: string, last: number): string[] {
  return Array.from({ length: last }, (_, index) => `${letter}${index + 1}`)
}

/** The rows of every table that begins with this heading. */
function rowsOf (text: string, heading: string): string[][] {
  const rows = []
  let isWithin = false
  for (const line of text.split('\n')) {
    if (line.startsWith(`| ${heading} |`)) isWithin = true
    else if (!line.startsWith('|')) isWithin = false
    else if (isWithin && !line.startsWith('|---')) rows.push(line.slice(1, -1).split('|').map(cell => cell.trim()))
  }
  return rows
}

/** The tests that a cell names. What it holds besides would be passed over, so there is nothing besides. */
function testsIn (cell: string): Array<{ file: string, title: string }> {
  if (cell === '') return []
  return cell.split('<br>').map(text => {
    const [, file, title] = /^`(test\/(?:[\w-]+\/)?[\w-]+\.test\.ts) › ([^`]+)`$/.exec(text) ?? []
    if (file === undefined || title === undefined) throw new Error(`No name of a test: ${text}`)
    return { file, title }
  })
}

function blocks (language: string): string[] {
  return blocksIn(page, language)
}

t.test('every threat says what stops it or that nothing does, and names tests', async t => {
  const rows = rowsOf(page, 'threat')
  t.same(rows.map(([name]) => name), numbered('T', 27))
  for (const [name, who, stops, , tests = ''] of rows) {
    t.ok(who !== '' && stops !== '', `${name}: who, and what is done`)
    t.not(testsIn(tests).length, 0, `${name} has a test`)
  }
})

t.test('every requirement has a verdict, and a test where something is claimed', async t => {
  const rows = rowsOf(page, 'line')
  t.same(rows.map(([line]) => line), LINES)
  for (const [line, asks, verdict = '', , tests = ''] of rows) {
    const verdicts = verdict.split(', ')
    t.not(asks, '', `${line} says what it asks for`)
    t.ok(verdicts.every(word => VERDICTS.includes(word)) && new Set(verdicts).size === verdicts.length, `${line}: ${verdict}`)
    if (verdicts.includes('not yet')) t.same([verdicts, testsIn(tests)], [['not yet'], []], `${line} is not there, and nothing is claimed`)
    if (verdicts.includes('default') || verdicts.includes('offered')) t.not(testsIn(tests).length, 0, `${line} has a test`)
  }
  t.same([...page.matchAll(/^- \*\*([a-z ]+)\*\*: /gm)].map(([, word]) => word), VERDICTS, 'and the words are explained')
})

t.test('every test that is named is there, under this title', async t => {
  const named = [...rowsOf(page, 'threat'), ...rowsOf(page, 'line')].flatMap(row => testsIn(row.at(-1) ?? ''))
  for (const { file, title } of named) t.ok(titlesOf(file).has(title), `${file} › ${title}`)
  t.notOk(titlesOf('test/docs/security-docs.test.ts').has('a test that is ' + 'not there'), 'one that is not there would be noticed')
})

t.test('every advisory that the documents name has a test of its own', async t => {
  const documents = ['README.md', 'SECURITY.md', 'CHANGELOG.md', 'docs/design.md', 'docs/reliability.md', PAGE,
    ...readdirSync(join(root, 'docs/decisions')).map(file => `docs/decisions/${file}`)]
  const named = new Set(documents.flatMap(file => [...read(file).matchAll(/CVE-\d{4}-\d+|GHSA(?:-\w{4}){3}/g)].map(([name]) => name)))
  const tested = [...titlesOf(ADVISORIES)].map(title => title.split(': ')[0] ?? '').join('\n')
  t.ok(named.has('CVE-2025-46336'), 'some are named')
  for (const name of named) t.match(tested, new RegExp(`\\b${name}\\b`), name)
})

t.test('the page names every package that comes with this one, and why', async t => {
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, { version: string, dependencies?: Record<string, string> }> }
  const brought = new Map<string, Set<string>>()
  const follow = (path: string, by: string): void => {
    const { version, dependencies = {} } = packages[path] ?? { version: '' }
    const name = `${path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)} ${version.split('.')[0]}`
    const known = brought.get(name)
    brought.set(name, new Set([...known ?? [], by]))
    if (known === undefined) for (const dependency of Object.keys(dependencies)) follow(whereIs(dependency, path), name.split(' ')[0] ?? '')
  }
  const whereIs = (name: string, from: string): string => {
    const own = `${from}/node_modules/${name}`
    return own in packages ? own : `node_modules/${name}`
  }
  const { dependencies } = JSON.parse(read('package.json')) as { dependencies: Record<string, string> }
  for (const name of Object.keys(dependencies)) follow(whereIs(name, ''), 'this package')

  const rows = rowsOf(page, 'package')
  const told = rows.map(([name = '', by = '']) => [name.replaceAll('`', ''), by.replaceAll('`', '').split(', ').sort()])
  t.same(told.sort(), [...brought].map(([name, by]) => [name, [...by].sort()]).sort())
  for (const [name, , reason = ''] of rows) t.ok(reason.length > 20, `${name} has a reason`)
})

t.test('the timeouts of each assurance level are within its limits, and can be set', async t => {
  const HOUR = 3600
  const limits = [[Infinity, 30 * 24 * HOUR], [HOUR, 24 * HOUR], [HOUR / 4, 12 * HOUR]]
  const rows = rowsOf(page, 'level')
  t.equal(rows.length, limits.length)
  for (const [index, [, idle = '', absolute = '']] of rows.entries()) {
    const [idleTimeout, absoluteTimeout] = [idle, absolute].map(cell => Number(cell.replaceAll('`', ''))) as [number, number]
    const settings = resolveOptions({ table: 'sessions', idleTimeout, absoluteTimeout })
    t.same([settings.idleTimeout, settings.absoluteTimeout], [idleTimeout, absoluteTimeout])
    t.ok(idleTimeout <= Number(limits[index]?.[0]) && absoluteTimeout <= Number(limits[index]?.[1]), `level ${index + 1}`)
  }
  const { idleTimeout, absoluteTimeout } = resolveOptions({ table: 'sessions' })
  t.same(rows[0]?.slice(1, 3), [`\`${idleTimeout}\``, `\`${absoluteTimeout}\``], 'the defaults are those of the first')
})

t.test('the command for keys makes one that is taken, and another each time', async t => {
  const [command = ''] = blocks('sh')
  const make = (): Buffer => Buffer.from(execFileSync('/bin/sh', ['-c', command], { encoding: 'utf8' }).trim(), 'base64url')
  const key = make()
  t.ok(resolveOptions({ table: 'sessions', encryptionKeys: key, secrets: key.toString('base64url') }))
  t.notSame(make(), key)
})

t.test('with a key prefix, every call of every operation has a key that the policy lets through', async t => {
  const [json = ''] = blocks('json')
  const { Statement: [{ Condition, ...statement }] } = JSON.parse(json)
  const [usual = ''] = /^```json\n([\s\S]*?)^```$/m.exec(read('README.md'))?.slice(1) ?? []
  t.strictSame(statement, JSON.parse(usual).Statement[0], 'the policy is that of the README with a condition')
  const [pattern] = Condition['ForAllValues:StringLike']['dynamodb:LeadingKeys'] as [string]
  t.match(pattern, /^[\w#]+#\*$/)
  const keyPrefix = pattern.slice(0, -1)

  const engine = await startDynalite()
  t.teardown(async () => await engine.close())
  const stage = await setStage(t, engine, { session: { keyPrefix, reissueTime: 0 } })
  const { app, clock, proxy } = stage
  await app.sessions.verifyTable()
  const ann = stage.visitor()
  await ann.post('/set', { count: 1 })
  await ann.post('/set', { count: 2 })
  clock.forward(10)
  await ann.get('/me')
  const before = ann.cookieHeader()
  await ann.post('/login')
  await app.inject({ method: 'POST', url: '/logout', headers: { cookie: before } })
  const both = [ann, stage.visitor()]
  for (const each of both) await each.post('/set', { count: 1 })
  await Promise.all(both.map(async each => await each.get('/me')))
  const { calls } = proxy
  const keys = calls.flatMap(({ action, input }) => {
    const batch = Object.values<any>(input['RequestItems'] ?? {}).flatMap(({ Keys }) => Keys as unknown[])
    return (action === 'BatchGetItem' ? batch : [input['Key'] ?? input['Item']]).map(key => String((key as { id?: { S?: string } } | undefined)?.id?.S))
  })
  t.same(keys.filter(key => !key.startsWith(keyPrefix)), [])
  t.same([...new Set(calls.map(({ action }) => `dynamodb:${action}`))].sort(), [...statement.Action].sort(), 'every action was made, and no other')
})

t.test('a sealed value opens in the format that it was written in only', async t => {
  const client = memoryRepository()
  const load = client.load.bind(client)
  let format: string | undefined
  client.load = async (...args) => {
    const record = await load(...args)
    return record === null ? null : { ...record, format }
  }
  const app = Fastify()
  t.teardown(async () => await app.close())
  const codec = { name: 'mine', encode: (value: unknown) => JSON.stringify(value), decode: () => 'read by the codec' }
  await app.register(dynamoSession, { table: 'sessions', client, format: codec, encryptionKeys: new Uint8Array(32).fill(7), verify: false })
  const session = await app.sessions.create({ 'any:isAdmin': false })
  app.get('/', async request => ({ isAdmin: request.session.get('any:isAdmin') }))
  const look = async () => await app.inject({ url: '/', headers: { cookie: `__Host-id=${String(session.token)}` } })

  format = 'mine'
  t.same((await look()).json(), { isAdmin: 'read by the codec' }, 'in its own format it is read')
  for (format of [undefined, 'native']) {
    const response = await look()
    t.match(response.json(), { statusCode: 500, code: 'FST_DYNAMODB_SESSION_UNREADABLE' }, `by the format ${format ?? 'json'} it is not`)
  }
})

/** Puts the recipes together and prints what they do, as JSON. The clock is its own. */
const DRIVE = `
import { Writable } from 'node:stream'
import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'
import { memoryRepository } from 'fastify-dynamodb-session/testing'
import { addConfirmation, recentlyAuthenticated } from './recentlyAuthenticated.js'
import { addLogin } from './addLogin.js'
import { addPrivatePages } from './addPrivatePages.js'
import { logger } from './logger.js'

let clock = Date.UTC(2026, 0, 2)
const now = () => clock
Date.now = now
let checks = 0

const cookieOf = ({ cookies }: LightMyRequestResponse): string => cookies.map(({ name, value }) => name + '=' + value).join('; ')

function post (app: FastifyInstance, url: string, cookie: string, payload: object = {}) {
  return app.inject({ method: 'POST', url, headers: { cookie, 'x-session': 'secret-of-a-header' }, payload })
}

async function serve (options: object = {}): Promise<FastifyInstance> {
  const app = Fastify(options)
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository(), now })
  addPrivatePages(app)
  addLogin(app, {
    checkPassword: async (name, password) => password === 'open' ? name : undefined,
    checkCode: async (_userId, code) => {
      checks += 1
      return code === '123456'
    }
  })
  addConfirmation(app, async (_userId, password) => password === 'open')
  app.get('/me', async ({ session }) => ({ userId: session.get('userId'), createdAt: session.createdAt, expiresAt: session.expiresAt, idleTimeout: session.idleTimeout }))
  app.get('/public', async (_request, reply) => reply.header('cache-control', 'public, max-age=60').send('for everybody'))
  app.post('/transfer', { preHandler: recentlyAuthenticated(300) }, async () => 'transferred')
  return app
}

async function logIn (app: FastifyInstance): Promise<[half: string, whole: string]> {
  const half = cookieOf(await post(app, '/login', '', { name: 'ann', password: 'open' }))
  return [half, cookieOf(await post(app, '/code', half, { code: '123456' }))]
}

async function twoFactors () {
  const app = await serve()
  const me = async (cookie: string) => (await app.inject({ url: '/me', headers: { cookie } })).json() as Record<string, unknown>
  const wrong = (await post(app, '/login', '', { name: 'ann', password: 'shut' })).statusCode
  const [half, whole] = await logIn(app)
  const pending = cookieOf(await post(app, '/login', '', { name: 'eve', password: 'open' }))
  const facts = { wrong, withoutFirst: (await post(app, '/code', '', { code: '123456' })).statusCode, pending: await me(pending), half: await me(half), whole: await me(whole) }
  checks = 0
  const guesses = await Promise.all(Array.from({ length: 20 }, async (_, index) => (await post(app, '/code', pending, { code: String(index) })).statusCode))
  const afterGuesses = (await post(app, '/code', pending, { code: '123456' })).statusCode
  return { ...facts, guesses, checks, afterGuesses }
}

async function again () {
  const app = await serve()
  const [, before] = await logIn(app)
  const statuses: number[] = []
  const note = async (url: string, cookie: string, payload = {}) => {
    const response = await post(app, url, cookie, payload)
    statuses.push(response.statusCode)
    return response
  }
  await note('/transfer', before)
  clock += 301_000
  await note('/transfer', before)
  await note('/confirm', before, { password: 'shut' })
  const after = cookieOf(await note('/confirm', before, { password: 'open' }))
  await note('/transfer', after)
  await note('/transfer', before)
  return { statuses, now: clock / 1000, me: (await app.inject({ url: '/me', headers: { cookie: after } })).json() as unknown }
}

async function logging () {
  let written = ''
  const stream = new Writable({ write: (chunk, _encoding, done) => { written += String(chunk); done() } })
  const app = await serve({ logger: { ...logger, stream } })
  const [half, whole] = await logIn(app)
  const secrets = [half, whole].flatMap(cookie => cookie.split('; ')).filter(pair => !pair.startsWith('__Host-id-v')).map(pair => pair.split('=')[1] ?? '')
  return { lines: written.split('\\n').length, redacted: written.split('[Redacted]').length - 1, found: [...secrets, 'secret-of-a-header'].filter(secret => written.includes(secret)), secrets: secrets.length }
}

async function pages () {
  const app = await serve()
  const [, cookie] = await logIn(app)
  const headersOf = async (url: string) => (await app.inject({ url, headers: { cookie } })).headers
  const logout = await post(app, '/logout', cookie)
  return { mine: (await headersOf('/me'))['cache-control'], everybodys: (await headersOf('/public'))['cache-control'], logout: logout.headers['clear-site-data'] }
}

async function keys () {
  const key = Buffer.alloc(32, 7).toString('base64url')
  const attempts = []
  for (const [secrets, sealing] of [[key, key], ['', key], [key, ''], [key, 'short']] as const) {
    process.env['SESSION_SECRETS'] = secrets
    process.env['SESSION_KEYS'] = sealing
    const module: string = './keys.js?' + String(attempts.length)
    attempts.push(await import(module).then(() => 'starts', (error: unknown) => (error as { code: string }).code))
  }
  return attempts
}

console.log(JSON.stringify({ twoFactors: await twoFactors(), again: await again(), logging: await logging(), pages: await pages(), keys: await keys() }))
`

/** Runs a program by itself, away from the test runner's environment. */
async function run (args: string[], environment: Record<string, string> = {}): Promise<{ stdout: string, stderr: string, status: unknown }> {
  const child = spawn(process.execPath, args, {
    cwd: root, env: { ...NOT_COVERED, PATH: process.env['PATH'], ...environment }, stdio: ['ignore', 'pipe', 'pipe']
  })
  const [stdout, stderr, [status]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { stdout, stderr, status }
}

t.test('the recipes', async t => {
  const output = join(root, 'test-output', 'security')
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  t.teardown(() => rmSync(output, { recursive: true, force: true }))
  for (const code of blocks('ts')) writeFileSync(join(output, `${/^export (?:function|const) (?!app\b)(\w+)/m.exec(code)?.[1] ?? 'keys'}.ts`), code)
  writeFileSync(join(output, 'drive.ts'), DRIVE)
  writeFileSync(join(output, 'tsconfig.json'), EXAMPLES_CONFIG)
  const driven = await run(['--no-warnings', ...COMPILED, join(output, 'drive.ts')])
  t.same([driven.stderr, driven.status], ['', 0])
  const { twoFactors, again, logging, pages, keys } = JSON.parse(driven.stdout) as Record<string, any>

  await t.test('in JavaScript are JavaScript', async t => {
    for (const code of blocks('js')) {
      t.same(ts.transpileModule(code, { reportDiagnostics: true, fileName: 'recipe.js', compilerOptions: { allowJs: true } }).diagnostics, [])
    }
  })

  await t.test('the recipe for two factors lets nobody in after one, counts guesses and ends the ids before', async t => {
    t.same([twoFactors.wrong, twoFactors.withoutFirst], [401, 401])
    t.match(twoFactors.pending, { userId: undefined, idleTimeout: 300 }, 'half a log-in is nobody, and not for long')
    t.match(twoFactors.whole, { userId: 'ann', idleTimeout: 7200 })
    t.same(twoFactors.half, { idleTimeout: 7200 }, 'its id is no session any more')
    t.same(twoFactors.guesses.filter((status: number) => status !== 401 && status !== 409), [], 'the last ones find their session ended')
    t.ok(twoFactors.checks <= 5, `of 20 guesses at once ${twoFactors.checks} were looked at`)
    t.equal(twoFactors.afterGuesses, 401, 'after which the right code is worthless')
  })

  await t.test('the recipe for authenticating again asks for it in time, and begins both timers anew', async t => {
    t.same(again.statuses, [200, 403, 401, 200, 200, 403], 'the id before it is worthless')
    t.same(again.me, { userId: 'ann', createdAt: again.now, expiresAt: again.now + 7200, idleTimeout: 7200 })
  })

  await t.test('the recipe for the log leaves no token in it', async t => {
    t.equal(logging.secrets, 2)
    t.ok(logging.lines > 4)
    t.ok(logging.redacted >= 4, 'headers are written, without what is secret')
    t.same(logging.found, [])
  })

  await t.test('the recipe for private pages keeps them from memory, and leaves what says something itself', async t => {
    t.same(pages, { mine: 'no-store', everybodys: 'public, max-age=60', logout: '"cache"' })
  })

  await t.test('the recipe for keys starts with keys, and with none or a short one it does not', async t => {
    t.same(keys, ['starts', ...Array(3).fill('FST_DYNAMODB_SESSION_BAD_OPTION')])
  })
})
