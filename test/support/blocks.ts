// The fenced blocks of the documents, and what runs those that are programs. A block is a module of its own. It runs as it stands,
// until its last top-level await has ended, or exports functions, which are called with what their parameters are named for; every
// route that came of it is then asked for by a visitor who is signed in. One that another test runs says so in a comment before it:
// <!-- run by test/moving.test.ts: it needs a store of another kind -->
// and one whose route fails or refuses a visitor who comes out of the blue says that:
// <!-- GET /login/callback answers 500: it has no state -->
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { DynamoDBClient, type CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import { transform } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import ts from 'typescript'
import { connectDynamodb, dynamodbSessionStore, dynamodbSessionWeb, pyramidSession } from '../../import/index.js'
import dynamoSession, { type SessionReader } from '../../index.js'
import { forget, RUNNERS, Stand } from './block-stand.js'
import { read, root } from './documents.js'
import { createTable, startDynalite, type Engine } from './engines.js'

export interface Block {
  readonly document: string
  /** Where its first line of code stands. */
  readonly line: number
  readonly language: string
  readonly code: string
  /** The test that runs it, where it says so. */
  readonly runBy: string | undefined
  /** Routes that answer 4xx or 5xx, such as `GET /status answers 503`. */
  readonly failures: readonly string[]
}

/** The blocks of a document, those within lists and quotes too. */
export function blocksOf (document: string, text: string): Block[] {
  const blocks: Block[] = []
  const lines = text.split('\n')
  let open: { indent: string, fence: string, language: string, start: number } | undefined
  for (const [index, line] of lines.entries()) {
    const [, indent = '', fence = '', language = ''] = /^([ \t>]*(?:[-*+] +|\d+[.)] +)?)(`{3,}|~{3,})(.*)$/.exec(line) ?? []
    if (open === undefined) {
      if (fence !== '') open = { indent, fence, language: language.trim(), start: index }
    } else if (fence.startsWith(open.fence) && language.trim() === '') {
      const { language, start, indent } = open
      const quote = indent.trimEnd()
      const code = lines.slice(start + 1, index).map(line => `${line.startsWith(indent) ? line.slice(indent.length) : line === quote ? '' : line}\n`).join('')
      blocks.push({ document, line: start + 2, language, code, ...saidBefore(lines.slice(0, start)) })
      open = undefined
    }
  }
  if (open !== undefined) throw new Error(`${document}:${open.start + 1}: a block without an end`)
  return blocks
}

/** What the comments say that stand right before a block. */
function saidBefore (before: readonly string[]): Pick<Block, 'runBy' | 'failures'> {
  const first = before.findLastIndex(line => line.trim() !== '' && !/^ *<!-- .* -->$/.test(line))
  const comments = before.slice(first + 1).join('\n')
  return {
    runBy: /^ *<!-- run by (test\/[\w/-]+\.test\.ts)(?:: .+)? -->$/m.exec(comments)?.[1],
    failures: [...comments.matchAll(/^ *<!-- ([A-Z]+ \/\S* answers [45]\d\d): .+ -->$/gm)].map(([, failure = '']) => failure)
  }
}

/** A parameter of an exported function, by its name and the type that is written there. */
interface Parameter { readonly name: string, readonly type: string, readonly isOptional: boolean }
interface Exported { readonly name: string, readonly parameters: readonly Parameter[] | undefined }

/** What a module exports at run time; with parameters where it is a function that stands there. */
export function exportsOf (code: string): Exported[] {
  const source = ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true)
  return source.statements.flatMap((statement): Exported[] => {
    if (ts.isExportAssignment(statement)) return [{ name: 'default', parameters: parametersIn(statement.expression) }]
    if (ts.isExportDeclaration(statement)) return namedIn(statement, source)
    if (!ts.canHaveModifiers(statement)) return []
    const words = (ts.getModifiers(statement) ?? []).map(({ kind }) => kind)
    if (!words.includes(ts.SyntaxKind.ExportKeyword)) return []
    if (ts.isFunctionDeclaration(statement)) {
      const name = words.includes(ts.SyntaxKind.DefaultKeyword) ? 'default' : statement.name?.text ?? ''
      return [{ name, parameters: parametersOf(statement) }]
    }
    if (!ts.isVariableStatement(statement)) return []
    return statement.declarationList.declarations.map(({ name, initializer }) => ({
      name: name.getText(),
      parameters: initializer === undefined ? undefined : parametersIn(initializer)
    }))
  })
}

function parametersIn (value: ts.Expression): Parameter[] | undefined {
  return ts.isArrowFunction(value) || ts.isFunctionExpression(value) ? parametersOf(value) : undefined
}

/** What is exported by name at the end. */
function namedIn ({ exportClause }: ts.ExportDeclaration, source: ts.SourceFile): Exported[] {
  if (exportClause === undefined || !ts.isNamedExports(exportClause)) return []
  return exportClause.elements.map(({ name, propertyName = name }) => {
    const made = source.statements.filter(ts.isFunctionDeclaration).find(statement => statement.name?.text === propertyName.text)
    return { name: name.text, parameters: made === undefined ? undefined : parametersOf(made) }
  })
}

/** Functions that stand in a block, and that nothing there uses. */
export function idleIn (code: string): string[] {
  const source = ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true)
  const names = source.statements.flatMap(statement =>
    ts.isFunctionDeclaration(statement) && statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) !== true ? [statement.name?.text ?? ''] : [])
  return names.filter(name => [...code.matchAll(new RegExp(`\\b${name}\\b`, 'g'))].length === 1)
}

function parametersOf ({ parameters }: ts.SignatureDeclaration): Parameter[] {
  return parameters.map(({ name, type, questionToken, initializer }) =>
    ({ name: name.getText(), type: type?.getText() ?? '', isOptional: questionToken !== undefined || initializer !== undefined }))
}

const { name: PACKAGE, exports: ENTRIES } = JSON.parse(read('package.json')) as { name: string, exports: Record<string, string | { default: string }> }

/** The source of each entry of the package, by the name that it is imported by. */
export const SOURCES: ReadonlyMap<string, string> = new Map(Object.entries(ENTRIES).flatMap(([entry, target]) =>
  typeof target === 'string' ? [] : [[PACKAGE + entry.slice(1), target.default.replace('./dist/', '').replace('.js', '.ts')]]))

function urlOf (source: string): string {
  return pathToFileURL(join(root, source)).href
}

/** The text of a block as it runs here: the package is its source, the engine on port 8000 is the one that is there, a runner of tests is this one. */
function asRunHere ({ code }: Block, endpoint: string): string {
  return code
    .replaceAll(/(\b(?:from|import)\b\s*\(?)['"]([^'"]+)['"]/g, (text, before: string, name: string) =>
      SOURCES.has(name) ? `${before}'${urlOf(SOURCES.get(name) ?? '')}'` : text)
    .replaceAll(/http:\/\/(?:127\.0\.0\.1|localhost):8000/g, endpoint)
    .replaceAll(/^import (\w+|\{[^}]*\}) from '(tap|node:test)'$/gm, `const $1 = globalThis[Symbol.for('${RUNNERS.description}')]['$2']`)
}

/** CommonJS: there is nothing of an ES module in it. */
export function isCommonJs ({ language, code }: Block): boolean {
  return language === 'cjs' || (language === 'js' && /\brequire\(/.test(code) && !/^(import|export)\b/m.test(code))
}

export function isProgram ({ language }: Block): boolean {
  return ['ts', 'mts', 'js', 'mjs', 'cjs'].includes(language)
}

/** Runs the programs of a document, each on an engine of its own; gives what went wrong, by where they stand. */
export async function runPrograms (t: Test, document: string, blocks: readonly Block[]): Promise<Record<string, string[]>> {
  // Inside the tree, so that they find their packages.
  const folder = join(root, 'test-output', 'blocks', document.replaceAll(/\W/g, '-'))
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const names = namesOf(blocks)
  const complaints: Record<string, string[]> = {}
  for (const [index, block] of blocks.entries()) {
    const file = join(folder, `${names[index]}.js`)
    // Those that run elsewhere are written too: a block may import what one before it exports, by that name.
    if (block.runBy !== undefined) await writeModule(file, block, '')
    else await t.test(`${document}:${block.line}`, async t => { complaints[`${document}:${block.line}`] = await runOne(t, block, file) })
  }
  return complaints
}

/** Of a block's file: what it exports first. */
function namesOf (blocks: readonly Block[]): string[] {
  const names: string[] = []
  for (const [index, { code }] of blocks.entries()) {
    const name = exportsOf(code).find(({ name }) => /^\w+$/.test(name) && !names.includes(name))?.name
    names.push(name ?? `block-${index}`)
  }
  return names
}

async function runOne (t: Test, block: Block, file: string): Promise<string[]> {
  const engine = await startDynalite()
  const stand = new Stand(t)
  t.teardown(async () => {
    await stand.close()
    await forget(block.code)
    await engine.close()
  })
  await makeTables(block.code, engine)
  await stand.carry({ ...environmentOf(block.code), AWS_ENDPOINT_URL_DYNAMODB: engine.endpoint }, async () => {
    if (!isCommonJs(block)) await writeModule(file, block, engine.endpoint)
    const module = isCommonJs(block) ? await runCommonJs(block, engine) : await import(pathToFileURL(file).href) as Record<string, unknown>
    const found = exportsOf(block.code)
    stand.complaints.push(...idleIn(block.code).map(name => `Nothing calls "${name}", so it is not known whether it works.`))
    stand.complaints.push(...uncalled(module, found))
    await callFunctions(t, found, module, engine)
    await stand.visit(block.failures)
  })
  return stand.complaints
}

/** Functions that a module exports and that are not to be called here, because it is not seen what they take. */
function uncalled (module: Record<string, unknown>, found: readonly Exported[]): string[] {
  const known = found.filter(({ name, parameters }) => parameters !== undefined || name === 'handler').map(({ name }) => name)
  const functions = typeof module === 'function' ? ['module.exports'] : Object.keys(module).filter(name => typeof module[name] === 'function')
  return functions.filter(name => !known.includes(name)).map(name => `Nothing calls "${name}", so it is not known whether it works.`)
}

/** As JavaScript that does not say what it was made of, so that it counts for no coverage. */
async function writeModule (file: string, block: Block, endpoint: string): Promise<void> {
  const { code } = await transform(asRunHere(block, endpoint), { loader: 'ts', target: 'node20' })
  writeFileSync(file, code)
}

async function runCommonJs (block: Block, { endpoint }: Engine): Promise<Record<string, unknown>> {
  const modules = new Map<string, unknown>()
  for (const [name, source] of SOURCES) if (block.code.includes(`'${name}'`)) modules.set(name, await import(urlOf(source)))
  const own = createRequire(import.meta.url)
  const module = { exports: {} }
  const require = (name: string): unknown => modules.get(name) ?? own(name)
  // eslint-disable-next-line no-new-func
  new Function('require', 'module', 'exports', asRunHere(block, endpoint))(require, module, module.exports)
  return module.exports
}

/** Tables that a block names and does not make. */
async function makeTables (code: string, engine: Engine): Promise<void> {
  if (/createTable/.test(code)) return
  const names = new Set([...code.matchAll(/\b(?:table|tableName|TableName): '([\w.-]{3,})'/g)].map(([, name]) => name as string))
  if (/\bdynamoSession, 'sessions'/.test(code)) names.add('sessions')
  if (exportsOf(code).some(({ parameters = [] }) => parameters.length > 0)) names.add('sessions')
  for (const [, name = '', table = ''] of code.matchAll(READER)) {
    await createTable(engine, { TableName: table, ...keyOf(READERS[name as keyof typeof READERS]) })
    names.delete(table)
  }
  for (const TableName of names) await createTable(engine, { TableName, ...indexesOf(code) })
}

const secret = 'x'.repeat(43)
/** Readers of the tables of other systems, by their names. */
export const READERS = {
  connectDynamodb: connectDynamodb({ secret }),
  dynamodbSessionStore: dynamodbSessionStore({ secret }),
  pyramidSession: pyramidSession({ table: 'sessions' }),
  dynamodbSessionWeb: dynamodbSessionWeb()
}
const READER = new RegExp(`(${Object.keys(READERS).join('|')})\\(\\{ table: '([\\w.-]{3,})'`, 'g')

/** The key of the table that another system's store keeps its sessions in. */
export function keyOf (reader: SessionReader): Partial<CreateTableCommandInput> {
  const [[AttributeName, value] = []] = Object.entries(reader.keyOf('x'.repeat(43)))
  const AttributeType = value?.B === undefined ? 'S' : 'B'
  return { KeySchema: [{ AttributeName, KeyType: 'HASH' }], AttributeDefinitions: [{ AttributeName, AttributeType }] }
}

/** The index that a block queries, on the attribute by which it does. */
function indexesOf (code: string): Partial<CreateTableCommandInput> {
  const [, IndexName] = /IndexName: '([^']+)'/.exec(code) ?? []
  const [, attribute] = /KeyConditionExpression: '(\w+) =/.exec(code) ?? []
  if (IndexName === undefined || attribute === undefined) return {}
  return {
    AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }, { AttributeName: attribute, AttributeType: 'S' }],
    GlobalSecondaryIndexes: [{ IndexName, KeySchema: [{ AttributeName: attribute, KeyType: 'HASH' }], Projection: { ProjectionType: 'ALL' } }]
  }
}

/** Region and credentials as for every client, and 32 random bytes for whatever is named a secret or a key. */
function environmentOf (code: string): Record<string, string> {
  const secrets = [...code.matchAll(/\b([A-Z][A-Z_]*_)?(?:SECRET|KEY)S?\b/g)].map(([name]) => [name, randomBytes(32).toString('base64url')])
  return { ...Object.fromEntries(secrets), AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' }
}

const INSTANCE = ['app', 'FastifyInstance']
const IN_REQUEST: Readonly<Record<string, readonly string[]>> = {
  request: ['request', 'FastifyRequest'], reply: ['reply', 'FastifyReply'], session: ['session', 'Session', 'SessionMembers']
}
/** An event of API Gateway, as a handler of Lambda gets it. */
const EVENT = {
  version: '2.0',
  routeKey: '$default',
  rawPath: '/',
  rawQueryString: '',
  headers: { host: 'example.com' },
  requestContext: { http: { method: 'GET', path: '/', sourceIp: '192.0.2.1' }, stage: '$default', requestId: 'r-1', timeEpoch: 0 },
  isBase64Encoded: false
}

/**
 * Calls what a block exports. Those that take a request, its reply or its session become handlers of routes, which are then asked for
 * as the others are.
 */
async function callFunctions (t: Test, found: readonly Exported[], module: Record<string, unknown>, engine: Engine): Promise<void> {
  const functions = found.filter(({ name, parameters }) => parameters !== undefined || name === 'handler')
  if (functions.length === 0) return
  const client = new DynamoDBClient({ endpoint: engine.endpoint })
  t.teardown(() => client.destroy())
  let made: FastifyInstance | undefined
  const app = async (): Promise<FastifyInstance> => {
    made ??= await makeApp()
    return made
  }
  for (const { name, parameters = [] } of functions) {
    const call = module[name] as (...args: unknown[]) => unknown
    if (name === 'handler') {
      const answer = await call(EVENT, {}) as { statusCode?: unknown } | undefined
      if (!(Number(answer?.statusCode) < 500)) throw new Error(`handler(event) answers ${String(answer?.statusCode)}`)
      continue
    }
    const needed = parameters.filter(({ isOptional }) => !isOptional)
    const isHandler = needed.some(parameter => Object.values(IN_REQUEST).some(names => isOneOf(parameter, names)))
    const give = async (parameter: Parameter, request: object): Promise<unknown> => {
      if (isOneOf(parameter, INSTANCE)) return await app()
      if (isOneOf(parameter, ['client', 'DynamoDBClient'])) return client
      if (isOneOf(parameter, ['sessions', 'SessionManager'])) return (await app()).sessions
      for (const [member, names] of Object.entries(IN_REQUEST)) if (isOneOf(parameter, names)) return Reflect.get(request, member)
      throw new Error(`Nothing is known to give to ${name} as "${parameter.name}". Say in a comment before the block which test runs it.`)
    }
    if (!isHandler) {
      await call(...await Promise.all(needed.map(async parameter => await give(parameter, {}))))
      continue
    }
    ;(await app()).post(`/${name}`, async (request, reply) => {
      const given = { request, reply, session: request.session }
      const answer = await call(...await Promise.all(needed.map(async parameter => await give(parameter, given))))
      return reply.sent ? reply : answer ?? {}
    })
  }
}

function isOneOf ({ name, type }: Parameter, names: readonly string[]): boolean {
  return names.includes(name) || names.includes(type.replace(/<.*/s, ''))
}

async function makeApp (): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(dynamoSession, { table: 'sessions', userIndex: true })
  return app
}
