// Compiles applications that have other session packages installed beside ours, with and without `skipLibCheck`, and with
// the others imported before and after: which type `request.session` has then, and who complains of what.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Inside the tree, so that the applications find their packages. */
const folder = join(root, 'test-output', 'types')
const ours = join(folder, 'ours')

const OPTIONS = {
  strict: true,
  noEmit: true,
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2024.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  paths: {
    'fastify-dynamodb-session': ['./ours/index.d.ts'],
    'fastify-dynamodb-session/bare': ['./ours/lib/plugin.d.ts'],
    'fastify-dynamodb-session/store': ['./ours/store/index.d.ts'],
    'other-session': ['./other-session.d.ts'],
    'unnamed-session': ['./unnamed-session.d.ts']
  },
  pathsBasePath: folder
}

/** A package that types `request.session` as the official ones do, and that we do not know. */
const OTHER = `
import 'fastify'
interface OtherSession { read (): string }
declare module 'fastify' { interface FastifyRequest { session: OtherSession } }
export {}
`

/** Another, whose type has no name. */
const UNNAMED = `
import 'fastify'
declare module 'fastify' { interface FastifyRequest { session: { read (): string } } }
export declare function otherSession (): void
`

/** What an application puts in the place of its declarations. */
const QUIET = 'export declare function otherSession (): void'

const SAME = `
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
`

const FASTIFY = `
import Fastify, { type FastifyRequest } from 'fastify'
`

const OTHERS = `
import fastifyPassport from '@fastify/passport'
import csrfProtection from '@fastify/csrf-protection'
import flash from '@fastify/flash'
`

const OFFICIAL = `
import '@fastify/session'
import '@fastify/secure-session'
`

const OURS = `
import dynamoSession, { type Session as OurSession } from 'fastify-dynamodb-session'
`

/** An application that uses ours, and leaves to passport, csrf-protection and flash what is theirs. */
const USE = `
declare module 'fastify-dynamodb-session' { interface SessionData { userId: string } }
declare module 'fastify-dynamodb-session' { interface SessionData { cart: string[] } }
${SAME}
export const isOurs: Same<FastifyRequest['session'], OurSession> = true
const app = Fastify()
app.register(dynamoSession, { table: 'sessions' })
app.register(dynamoSession, 'sessions')
app.register(flash)
app.register(csrfProtection, { sessionPlugin: '@fastify/secure-session' })
app.register(csrfProtection, { sessionPlugin: '@fastify/session', getUserInfo: request => request.session.get('userId') ?? '' })
app.register(fastifyPassport.initialize())
app.register(fastifyPassport.secureSession())
fastifyPassport.registerUserSerializer(async (user: { id: string }) => user.id)
fastifyPassport.registerUserDeserializer(async (id: string, request) => ({ id, cart: request.session.get('cart') }))
const authenticate = fastifyPassport.authenticate('local', { failureFlash: true, failureMessage: true, keepSessionInfo: true })
app.post('/login', { preValidation: authenticate }, async (request, reply) => {
  await request.logIn({ id: 'u-42' }, { keepSessionInfo: true })
  request.flash('info', 'Welcome')
  return { token: reply.generateCsrf({ userInfo: 'u-42' }), messages: reply.flash('info') }
})
app.post('/logout', { onRequest: app.csrfProtection, config: { session: true } }, async request => {
  const userId: string | undefined = request.session.get('userId')
  const cart: string[] | undefined = request.session.cart
  await request.session.update('cart', (present = []) => [...present, 'pear'])
  // @ts-expect-error a typo in a key
  request.session.get('userld')
  // @ts-expect-error a value of another type
  request.session.set('userId', 42)
  await request.logOut()
  await request.session.destroy()
  await app.sessions.load('an id')
  return { userId, cart }
})
`

/** The types of what another package holds under request.session, and of ours under a name of its own. */
const BARE = `
import Fastify, { type FastifyRequest } from 'fastify'
import secureSession, { type Session } from '@fastify/secure-session'
import dynamoSession, { type Session as OurSession, type SessionManager as OurManager } from 'fastify-dynamodb-session/bare'
declare module 'fastify-dynamodb-session/bare' { interface SessionData { userId: string } }
declare module 'fastify' {
  interface FastifyRequest { admin: OurSession }
  interface FastifyInstance { admins: OurManager }
}
${SAME}
export const isTheirs: Same<FastifyRequest['session'], Session> = true
const app = Fastify()
app.register(secureSession, { key: Buffer.alloc(32) })
app.register(dynamoSession, { table: 'sessions', sessionName: 'admin' })
app.register(dynamoSession, 'sessions')
app.get('/', async request => {
  const userId: string | undefined = request.admin.get('userId')
  // @ts-expect-error a typo in a key
  request.admin.get('userld')
  return { userId, theirs: request.session.changed, list: await app.admins.list('u-42') }
})
`

const STORE = `
import Fastify, { type FastifyRequest } from 'fastify'
import fastifySession, { type FastifySessionObject } from '@fastify/session'
import { DynamoStore } from 'fastify-dynamodb-session/store'
${SAME}
export const isTheirs: Same<FastifyRequest['session'], FastifySessionObject> = true
Fastify().register(fastifySession, { secret: 'a secret of some length for the signature', store: new DynamoStore({ table: 'sessions' }) })
`

const STRANGER = `
import 'other-session'
import Fastify, { type FastifyRequest } from 'fastify'
import dynamoSession, { type Session as OurSession } from 'fastify-dynamodb-session'
${SAME}
export const isOurs: Same<FastifyRequest['session'], OurSession> = true
Fastify().register(dynamoSession, 'sessions')
`

/** What an application writes where it meets such a stranger: ours, under the name that the stranger looks up. */
const INTRODUCED = `
${STRANGER}
declare module 'fastify' { type OtherSession = OurSession }
`

const CLASH = /TS2717: .*Property 'session' must be of type/
const NOT_OURS = /app\.ts: TS2322: Type 'true' is not assignable to type 'false'/

const files = new Map()
/** A different version of our types, to see that the checks can fail. */
const withoutNames = text => text.replace(/^ {4}namespace fastify[\s\S]*?^ {4}\}$/gm, '').replace(/^ {8}type (FastifySessionObject|Session) .*$/gm, '')

function compile (source, { skipLibCheck, edit, missing, paths }) {
  const options = { ...OPTIONS, skipLibCheck, paths: { ...OPTIONS.paths, ...paths } }
  const host = ts.createCompilerHost(options)
  const read = host.getSourceFile
  const app = join(folder, 'app.ts')
  host.getSourceFile = (name, ...rest) => {
    if (name === app) return ts.createSourceFile(name, source, rest[0], true)
    if (edit !== undefined && name === join(ours, 'types', 'fastify.d.ts')) return ts.createSourceFile(name, edit(ts.sys.readFile(name)), rest[0], true)
    // Between two programs only what is parsed is kept.
    if (!files.has(name)) files.set(name, read(name, ...rest))
    return files.get(name)
  }
  host.resolveModuleNameLiterals = (literals, file, redirected, _, sourceFile) => literals.map(literal => literal.text === missing
    ? { resolvedModule: undefined }
    : ts.resolveModuleName(literal.text, file, options, host, undefined, redirected, ts.getModeForUsageLocation(sourceFile, literal, options)))
  const found = ts.getPreEmitDiagnostics(ts.createProgram([app], options, host))
  return found.map(({ file, code, messageText }) =>
    `${file?.fileName.replace(/^.*\/node_modules\//, '').replace(folder + '/', '')}: TS${code}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`)
}

function check (title, complaints, wanted) {
  const strange = complaints.filter(line => !wanted.some(pattern => pattern.test(line)))
  const unheard = wanted.filter(pattern => !complaints.some(line => pattern.test(line)))
  if (strange.length + unheard.length > 0) {
    process.exitCode = 1
    console.error(`failed: ${title}\n  ${[...strange, ...unheard.map(pattern => `not heard: ${pattern}`)].join('\n  ')}`)
    return
  }
  console.log(`passed: ${title}`)
}

/** What the others' types say of each other and of what they import, whether or not we are there. */
const OWN = [/^@fastify\/csrf\/.*TS2304: Cannot find name 'CryptoKey'/, /^@fastify\/passport\/.*TS2307: Cannot find module 'passport'/]
const NO_SECURE = [...OWN, /^@fastify\/flash\/.*TS2307: Cannot find module '@fastify\/secure-session'/]

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'other-session.d.ts'), OTHER)
writeFileSync(join(folder, 'unnamed-session.d.ts'), UNNAMED)
writeFileSync(join(folder, 'quiet.d.ts'), QUIET)
writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
const { options, fileNames } = ts.getParsedCommandLineOfConfigFile(join(root, 'tsconfig.build.json'), {
  emitDeclarationOnly: true, outDir: ours, sourceMap: false, inlineSources: false
}, { ...ts.sys, onUnRecoverableConfigFileDiagnostic ({ messageText }) { throw new Error(ts.flattenDiagnosticMessageText(messageText, ' ')) } })
ts.createProgram(fileNames, options).emit()

try {
  for (const skipLibCheck of [true, false]) {
    const way = `skipLibCheck: ${skipLibCheck}`
    const own = skipLibCheck ? [] : OWN
    const seen = (title, source, wanted, more) => check(`${title} (${way})`, compile(source, { skipLibCheck, ...more }), wanted)
    seen('request.session is ours beside both official plugins, passport, csrf-protection and flash, imported before', OTHERS + OFFICIAL + FASTIFY + OURS + USE, own)
    seen('and imported after', OURS + FASTIFY + OFFICIAL + OTHERS + USE, own)
    seen('and without either of them installed', OTHERS + FASTIFY + OURS + USE, skipLibCheck ? [] : NO_SECURE, { missing: '@fastify/secure-session' })
    seen('without the names in our types it is theirs, or a clash', OTHERS + OFFICIAL + FASTIFY + OURS + SAME + 'export const isOurs: Same<FastifyRequest["session"], OurSession> = true',
      skipLibCheck ? [NOT_OURS] : [NOT_OURS, CLASH, ...OWN], { edit: withoutNames })
    seen('/bare leaves request.session to @fastify/secure-session', BARE, [])
    seen('/store leaves request.session to @fastify/session', STORE, [])
    seen('a package that we do not know is loaded first, and wins or clashes', STRANGER, skipLibCheck ? [NOT_OURS] : [NOT_OURS, CLASH])
    seen('until the application puts ours under the name that it looks up', INTRODUCED, [])
    const unnamed = STRANGER.replace("'other-session'", "'unnamed-session'")
    seen('one whose type has no name does so too', unnamed, skipLibCheck ? [NOT_OURS] : [NOT_OURS, CLASH])
    seen('until paths lead to a declaration without it', unnamed, [], { paths: { 'unnamed-session': ['./quiet.d.ts'] } })
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
