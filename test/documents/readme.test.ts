import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { Script } from 'node:vm'
import t from 'tap'
import ts from 'typescript'
import { SessionManager } from '../../index.js'
import { errors } from '../../lib/errors.js'
import { ATTRIBUTES } from '../../lib/item.js'
import { resolveOptions } from '../../lib/options.js'
import { NOT_COVERED } from '../support/children.js'
import { blocksIn, EXAMPLES_CONFIG, read, root, rowsIn } from '../support/documents.js'
import { createTable, startDynalite, type Engine } from '../support/engines.js'

const readme = read('README.md')
/** Inside the tree, so that the examples find their packages. */
const output = join(root, 'test-output', 'readme')

/** The cells of the table with these headings. */
function table (heading: string, second: string): string[][] {
  return rowsIn(readme, heading, second)
}

/** The name in a cell such as `` `get(key)` ``. */
function nameIn (cell: string | undefined): string {
  return /^`(\w+)/.exec(cell ?? '')?.[1] ?? ''
}

function column (heading: string, second: string): string[] {
  return table(heading, second).map(([cell]) => nameIn(cell))
}

/** The members of interfaces, each named once. */
function membersOf (path: string, ...names: string[]): string[] {
  const found = new Set<string>()
  for (const statement of ts.createSourceFile(path, read(path), ts.ScriptTarget.Latest, true).statements) {
    if (!ts.isInterfaceDeclaration(statement) || !names.includes(statement.name.text)) continue
    for (const member of statement.members) if (member.name !== undefined) found.add(member.name.getText())
  }
  return [...found]
}

/** The fenced blocks of a language. */
function blocks (language: string): string[] {
  return blocksIn(readme, language)
}

/** Settings in a form that can be compared. */
function comparable (options: object): unknown {
  const { tokens, formats, envelope, ...settings } = resolveOptions({ table: 'sessions', ...options })
  const wrapped = envelope.wrap({ S: 'x'.repeat(5000) }, { key: 'k', name: 'n' })
  return { ...settings, wrapped, format: formats.preferred.name, idBytes: Buffer.from(tokens.makeId(), 'base64url').length, tokenLength: tokens.length }
}

/** What a cell says that the default is. */
function documented (cell: string): unknown {
  const code = /^`(.*)`$/.exec(cell)?.[1]
  if (code === 'Date.now') return Date.now
  if (code === 'idleTimeout / 10') return resolveOptions({ table: 'sessions' }).idleTimeout as number / 10
  return code === undefined ? undefined : JSON.parse(code.replaceAll("'", '"'))
}

t.test('the two commands stand there as a newcomer types them', async t => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  for (const command of ['npm ci && npm run demo', 'npm ci && npm test']) t.ok(blocks('sh').includes(`${command}\n`), command)
  t.equal(scripts['demo'], 'node --no-warnings --import tsx demo/server.ts')
  t.equal(scripts['test'], 'tap')
})

t.test('the option table has every option with its default', async t => {
  const rows = table('option', 'default')
  t.same(rows.map(([name]) => nameIn(name)), membersOf('types/options.ts', 'DynamoSessionOptions'))
  for (const [cell, given = ''] of rows) {
    const name = nameIn(cell)
    if (given === 'required') t.throws(() => resolveOptions({ [name]: undefined }), { code: 'FST_DYNAMODB_SESSION_BAD_OPTION' }, name)
    else if (given !== 'none' && given !== 'see below') t.same(comparable({ [name]: documented(given) }), comparable({}), `${name} is ${given}`)
  }
  t.same(rows.filter(([, given]) => given === 'none').map(([name]) => nameIn(name)), ['header', 'secrets', 'encryptionKeys', 'acceptPlainUntil'])
  t.match(comparable({}), { header: undefined, tokenLength: 43 }, 'no header, and no signature after the id')
  t.same(rows.filter(([, given]) => given === 'see below').map(([name]) => nameIn(name)), ['cookie'])
})

t.test('the attribute table has every cookie attribute with its default', async t => {
  const rows = table('attribute', 'default')
  t.same(rows.map(([name]) => nameIn(name)).sort(), membersOf('types/cookie.ts', 'CookieOptions', 'CookieAttributes').sort())
  const given = rows.filter(([, value]) => value !== 'none').map(([name, value = '']) => [nameIn(name), documented(value)])
  t.same(Object.fromEntries(given), { ...resolveOptions({ table: 'sessions' }).cookie })
})

t.test('the session table has every member', async t => {
  t.same(column('member', 'meaning').sort(), membersOf('types/session.ts', 'SessionMembers').sort())
})

t.test('the manager table has every method', async t => {
  const methods = Object.getOwnPropertyNames(SessionManager.prototype).filter(name => name !== 'constructor')
  t.same(column('method', 'meaning').sort(), methods.sort())
})

t.test('the error table has every code with its status', async t => {
  const rows = table('code', 'status').map(([name, status]) => [`FST_DYNAMODB_SESSION_${nameIn(name)}`, Number(status)])
  const thrown = Object.values(errors).map(SomeError => {
    const { code, statusCode = 500 } = new (SomeError as unknown as new () => { code: string, statusCode?: number })()
    return [code, statusCode]
  })
  t.same(rows.sort(), thrown.sort())
})

t.test('the table of what is stored has every attribute that is written', async t => {
  const { layout } = resolveOptions({ table: 'sessions' })
  t.same(column('attribute', 'type').sort(), [layout.partitionKey.name, layout.ttlAttribute, ...Object.values(ATTRIBUTES)].sort())
})

t.test('the table is created as the defaults want it', async t => {
  const { layout } = resolveOptions({ table: 'sessions' })
  const { partitionKey: { name, type }, ttlAttribute } = layout
  const [cli] = blocks('sh').filter(code => code.includes('aws dynamodb'))
  t.match(cli, `AttributeName=${name},AttributeType=${type}`)
  t.match(cli, `AttributeName=${name},KeyType=HASH`)
  t.match(cli, `Enabled=true,AttributeName=${ttlAttribute}`)
  const [cloudFormation] = blocks('yaml')
  t.match(cloudFormation, new RegExp(`AttributeName: ${name}\\s+AttributeType: ${type}`))
  t.match(cloudFormation, new RegExp(`AttributeName: ${name}\\s+KeyType: HASH`))
  t.match(cloudFormation, new RegExp(`AttributeName: ${ttlAttribute}\\s+Enabled: true`))
  const [terraform] = blocks('hcl')
  t.match(terraform, new RegExp(`hash_key += "${name}"`))
  t.match(terraform, new RegExp(`name = "${name}"\\s+type = "${type}"`))
  t.match(terraform, new RegExp(`attribute_name = "${ttlAttribute}"\\s+enabled += true`))
})

t.test('the IAM policy allows five actions on one table, and nothing else', async t => {
  const [json] = blocks('json')
  t.strictSame(JSON.parse(json ?? ''), {
    Version: '2012-10-17',
    Statement: [{
      Effect: 'Allow',
      Action: ['dynamodb:GetItem', 'dynamodb:BatchGetItem', 'dynamodb:PutItem', 'dynamodb:UpdateItem', 'dynamodb:DeleteItem'],
      Resource: 'arn:aws:dynamodb:eu-central-1:111122223333:table/sessions'
    }]
  })
})

t.test('the examples', async t => {
  rmSync(output, { recursive: true, force: true })
  mkdirSync(output, { recursive: true })
  t.teardown(() => rmSync(output, { recursive: true, force: true }))
  const codes = blocks('ts')
  for (const [index, code] of codes.entries()) writeFileSync(join(output, `example-${index}.ts`), code)
  writeFileSync(join(output, 'tsconfig.json'), EXAMPLES_CONFIG)

  await t.test('in JavaScript are JavaScript', async t => {
    for (const code of blocks('js')) t.ok(new Script(code))
  })

  await t.test('the quick start logs a visitor in and out', async t => {
    const engine = await startDynalite()
    t.teardown(async () => await engine.close())
    await createTable(engine, { TableName: 'sessions' })
    const quickStart = codes[0]?.replace('{ port: 3000 }', "{ port: 0, host: '127.0.0.1' }") ?? ''
    writeFileSync(join(output, 'example-0.ts'), quickStart)
    const url = await serve(t, engine, 'example-0.ts')

    const login = await fetch(`${url}/login`, { method: 'POST' })
    t.equal(login.status, 200)
    const cookie = login.headers.getSetCookie().map(text => text.split(';')[0]).join('; ')
    t.match(cookie, /^__Host-id=[\w-]{43}; __Host-id-v=/)
    t.same(await (await fetch(`${url}/me`, { headers: { cookie } })).json(), { userId: 'u-42' })
    t.same(await (await fetch(`${url}/me`)).json(), {}, 'a stranger is nobody')
    t.equal((await fetch(`${url}/logout`, { method: 'POST', headers: { cookie } })).status, 200)
    t.same(await (await fetch(`${url}/me`, { headers: { cookie } })).json(), {}, 'and so is who has logged out')
  })

  await t.test('the example for tests sees its visitor signed in', async t => {
    const file = `example-${codes.findIndex(code => code.includes('app.inject'))}.ts`
    const child = start(file)
    t.equal(await text(child.stdout), "{ userId: 'u-42' }\n")
  })
})

/** Runs an example by itself, away from the test runner's environment. */
function start (file: string, environment: Record<string, string> = {}) {
  return spawn(process.execPath, ['--no-warnings', '--import', 'tsx', join(output, file)], {
    cwd: root,
    env: { ...NOT_COVERED, PATH: process.env['PATH'], TSX_TSCONFIG_PATH: join(output, 'tsconfig.json'), ...environment },
    stdio: ['ignore', 'pipe', 'inherit']
  })
}

async function serve (t: Tap, engine: Engine, file: string): Promise<string> {
  const child = start(file, {
    AWS_ENDPOINT_URL_DYNAMODB: engine.endpoint, AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local'
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill()
    await exited
  })
  let printed = ''
  for await (const chunk of child.stdout) {
    printed += String(chunk)
    const [, url] = /Server listening at (http:[^"]+)/.exec(printed) ?? []
    if (url === undefined) continue
    child.stdout.resume()
    return url
  }
  throw new Error(`The example ended before it served: ${printed}`)
}

type Tap = Pick<typeof t, 'teardown'>
