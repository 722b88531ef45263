// Packs the package, installs the tarball into an empty folder beside its peers, and uses it as applications do: from an
// ES module, from CommonJS, and from TypeScript as both. What the tests import is the source; this is what users get.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const { name, version, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
const folder = mkdtempSync(join(tmpdir(), `${name}-package-`))

/** The same visit for every kind of module; `dynamoSession`, `memoryRepository`, `signIn` and `Fastify` are in scope. */
const VISIT = `
  const app = Fastify()
  await app.register(dynamoSession, { table: 'sessions', client: memoryRepository(), secrets: 'a secret of some length for the signature' })
  app.post('/login', async request => {
    await request.session.regenerate()
    request.session.set('userId', 'u-42')
    return {}
  })
  app.get('/me', async request => ({ userId: request.session.get('userId') ?? null }))
  app.post('/logout', async request => {
    await request.session.destroy()
    return {}
  })
  const headers = await signIn(app, { userId: 'u-7' })
  const signedIn = await app.inject({ url: '/me', headers })
  if (signedIn.body !== '{"userId":"u-7"}') throw new Error('unexpected visitor: ' + signedIn.body)
  const login = await app.inject({ method: 'POST', url: '/login' })
  const cookie = [login.headers['set-cookie'] ?? []].flat().map(text => text.split(';')[0]).join('; ')
  const before = await app.inject({ url: '/me', headers: { cookie } })
  const logout = await app.inject({ method: 'POST', url: '/logout', headers: { cookie } })
  const after = await app.inject({ url: '/me', headers: { cookie } })
  const seen = [login.statusCode, before.body, logout.statusCode, after.body].join(' ')
  if (seen !== '200 {"userId":"u-42"} 200 {"userId":null}') throw new Error('unexpected visit: ' + seen)
  await app.close()
`

/** A session of another host's; `DynamoStore` and `memoryRepository` are in scope. */
const STORE = `
  const store = new DynamoStore({ table: 'sessions', client: memoryRepository() })
  await store.set('an id', { cookie: { originalMaxAge: 60000, expires: null }, userId: 'u-42' })
  const read = await store.get('an id')
  if (read?.userId !== 'u-42') throw new Error('unexpected session')
  await new Promise((resolve, reject) => { store.destroy('an id', error => { if (error) reject(error); else resolve(undefined) }) })
  if (await store.get('an id') !== null) throw new Error('the session is still there')
  await store.close()
`

/** Lines that must not compile: an expectation that is not met is an error of the compiler. */
const TYPES = `
  const session = await new SessionManager({ table: 'sessions', client: memoryRepository() }).create({ userId: 'u-1', cart: ['apple'] })
  const userId: string | undefined = session.get('userId')
  const cart: string[] | undefined = session.cart
  // @ts-expect-error a typo in a key
  session.get('userld')
  // @ts-expect-error a value of another type
  session.set('userId', 42)
  // @ts-expect-error a value of another type, as a property
  session.cart = 'apple'
  // @ts-expect-error a typo in an option
  const mistyped: DynamoSessionOptions = { tabel: 'sessions' }
  // @ts-expect-error a typo in the data of a visitor
  const stranger = () => signIn(Fastify(), { userld: 'u-1' })
  // @ts-expect-error an option that a store does not have
  const foreign: DynamoStoreOptions = { table: 'sessions', secrets: 'those are the host\\'s' }
  // @ts-expect-error an option of another type
  const misvalued: DynamoSessionOptions = { table: 'sessions', idleTimeout: '2h' }
  const short = () => Fastify().register(dynamoSession, 'sessions')
  // @ts-expect-error neither a name nor options
  const neither = () => Fastify().register(dynamoSession, 42)
  if (userId !== 'u-1' || cart?.[0] !== 'apple') throw new Error('unexpected data')
  const readers: SessionReader[] = [connectDynamodb({ secret: 'x' }), dynamodbSessionStore({ secret: ['x'] }), pyramidSession({ table: 'pyramid' }), dynamodbSessionWeb()]
  // @ts-expect-error signatures cannot be checked without a secret
  const unsigned = () => connectDynamodb({})
  if (readers.some(({ keep }) => keep)) throw new Error('unexpected reader')
  if (errors.Gone().statusCode !== 409) throw new Error('unexpected error')
`

const TYPESCRIPT = `
import Fastify from 'fastify'
import dynamoSession, { errors, SessionManager, type DynamoSessionOptions } from '${name}'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession, type SessionReader } from '${name}/import'
import { memoryRepository, repositoryContract, signIn } from '${name}/testing'
import { DynamoStore, type DynamoStoreOptions } from '${name}/store'

declare module '${name}' {
  interface SessionData { userId: string, cart: string[] }
}

async function main (): Promise<void> {${VISIT}${TYPES}${STORE}
  const promises: Array<Promise<void>> = []
  repositoryContract({ test: (title, run) => promises.push(run()) }, async () => memoryRepository())
  await Promise.all(promises)
}

main().catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
`

const ESM = `
import Fastify from 'fastify'
import dynamoSession, { dynamoSession as named } from '${name}'
import { pyramidSession } from '${name}/import'
import { memoryRepository, signIn } from '${name}/testing'
import { DynamoStore } from '${name}/store'
if (pyramidSession({ table: 'pyramid' }).cookieName !== 'session_id') throw new Error('unexpected reader')
if (named !== dynamoSession) throw new Error('the named export is another one')
${VISIT}
${STORE}
`

const COMMONJS = `
const Fastify = require('fastify')
const { default: dynamoSession } = require('${name}')
const { memoryRepository, signIn } = require('${name}/testing')
const { DynamoStore } = require('${name}/store')
const { dynamodbSessionWeb } = require('${name}/import')
if (dynamodbSessionWeb().cookieName !== 'id') throw new Error('unexpected reader')
const { version } = require('${name}/package.json')
async function main () {
  if (typeof version !== 'string') throw new Error('no version')
  {${VISIT}}
  {${STORE}}
  {
    const dynamoSession = require('${name}')
    ${VISIT}
  }
}
main().catch(error => { console.error(error); process.exitCode = 1 })
`

function run (title, command, args, cwd) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${title}: failed\n${error ?? ''}${stdout}${stderr}`)
  return stdout
}

function check (title, command, args, cwd) {
  run(title, command, args, cwd)
  console.log(`passed: ${title}`)
}

function write (path, content) {
  mkdirSync(join(folder, path, '..'), { recursive: true })
  writeFileSync(join(folder, path), typeof content === 'string' ? content : JSON.stringify(content, null, 2))
}

function pack () {
  run('npm pack', npm, ['pack', '--pack-destination', folder], root)
  const tarball = readdirSync(folder).find(file => file.endsWith('.tgz'))
  if (tarball === undefined) throw new Error('npm pack left no tarball')
  return tarball
}

function install (tarball) {
  write('package.json', { private: true })
  const beside = ['fastify', '@aws-sdk/client-dynamodb', '@types/node'].map(peer => `${peer}@${devDependencies[peer]}`)
  const flags = ['--prefer-offline', '--no-audit', '--no-fund']
  check('the tarball installs beside its peers', npm, ['install', ...flags, `./${tarball}`, ...beside], folder)
}

function checkContents () {
  const files = readdirSync(join(folder, 'node_modules', name), { recursive: true }).map(file => file.replaceAll('\\', '/'))
  const wanted = ['LICENSE', 'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md', 'docs/cost.md', 'docs/design.md', 'docs/moving.md', 'docs/operations.md', 'docs/reliability.md', 'docs/security.md', 'bench/results.md', 'bench/results.svg', 'package.json', 'dist/index.js', 'dist/index.d.ts', 'dist/cli/main.js', 'dist/import/index.js', 'dist/import/index.d.ts', 'dist/store/index.js', 'dist/testing/index.js']
  const missing = wanted.filter(file => !files.includes(file))
  const built = /^dist(\/(cli|import|lib|types|store|testing))?(\/[\w-]+\.(js|js\.map|d\.ts))?$/
  const documents = /^(bench|examples(\/[\w-]+\.ts)?|docs(\/decisions(\/\d{4}-[\w-]+\.md)?)?)$/
  const strange = files.filter(file => !wanted.includes(file) && !built.test(file) && !documents.test(file))
  if (missing.length > 0) throw new Error(`missing in the package: ${missing.join(', ')}`)
  if (strange.length > 0) throw new Error(`not meant for the package: ${strange.join(', ')}`)
  console.log('passed: the package holds the compiled code, its types and its documents, and nothing else')
}

/** By the name that npm gave it, as `npx` does. */
function checkProgram () {
  const program = join(folder, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)
  const shell = process.platform === 'win32'
  for (const [args, wanted, code] of [
    [['--version'], version, 0],
    [['iam-policy', '--table', 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions'], 'dynamodb:GetItem', 0],
    [['cost', '--example'], '$134', 0],
    [['doctor'], '"--table" is required', 2]
  ]) {
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: folder, encoding: 'utf8', shell })
    if (status !== code || !(stdout + stderr).includes(wanted)) throw new Error(`${args.join(' ')}: ${status}\n${stdout}${stderr}`)
  }
  console.log('passed: the program runs by the name of the package')
}

function checkTypeScript (kind, type, module) {
  write(`${kind}/package.json`, { private: true, type })
  write(`${kind}/tsconfig.json`, {
    compilerOptions: { strict: true, module, target: 'es2023', types: ['node'], skipLibCheck: false, outDir: 'out', rootDir: '.' },
    files: ['index.ts']
  })
  write(`${kind}/index.ts`, TYPESCRIPT)
  check(`TypeScript compiles, mistakes in keys and values do not (${kind}, module ${module})`, process.execPath, [tsc, '-p', kind], folder)
  check(`what it compiled to runs (${kind})`, process.execPath, [`${kind}/out/index.js`], folder)
}

try {
  install(pack())
  checkContents()
  write('esm.mjs', ESM)
  check('an ES module imports it and serves a visit', process.execPath, ['esm.mjs'], folder)
  write('commonjs.cjs', COMMONJS)
  check('CommonJS requires it, by its default export and as a whole', process.execPath, ['commonjs.cjs'], folder)
  checkProgram()
  checkTypeScript('typescript-esm', 'module', 'nodenext')
  checkTypeScript('typescript-commonjs', 'commonjs', 'node20')
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}
