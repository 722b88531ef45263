import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import ts from 'typescript'
import { COMMANDS } from '../../cli/run.js'
import { SessionManager } from '../../index.js'
import { errors } from '../../lib/errors.js'
import { ATTRIBUTES } from '../../lib/item.js'
import { resolveOptions } from '../../lib/options.js'
import { COMPILED, NOT_COVERED } from '../support/children.js'
import { blocksIn, EXAMPLES_CONFIG, read, root, rowsIn } from '../support/documents.js'
import { createTable, startDynalite, type Engine } from '../support/engines.js'

/** What people look for, by its name. */
const RECIPES = ['Remember me', 'OAuth 2 and OpenID Connect', 'Flash messages', 'CSRF tokens', 'Header tokens', 'AWS Lambda',
  'Testing an application', 'Several sessions', 'Log out everywhere', 'Web sockets and streams', 'Behind a proxy']

const readme = read('README.md')
/** Inside the tree, so that the examples find their packages. */
const output = join(root, 'test-output', 'readme')

/** The cells of the table with these headings. */
function table (heading: string, second: string, document = readme): string[][] {
  return rowsIn(document, heading, second)
}

/** The name in a cell such as `` `get(key)` ``. */
function nameIn (cell: string | undefined): string {
  return /^`(\w+)/.exec(cell ?? '')?.[1] ?? ''
}

function column (heading: string, second: string, document = readme): string[] {
  return table(heading, second, document).map(([cell]) => nameIn(cell))
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
function blocks (language: string, document = readme): string[] {
  return blocksIn(document, language)
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

t.test('the manager table of the guide has every method', async t => {
  const methods = Object.getOwnPropertyNames(SessionManager.prototype).filter(name => name !== 'constructor')
  t.same(column('method', 'meaning', read('docs/guide.md')).sort(), methods.sort())
})

t.test('the error table has every code with its status', async t => {
  const rows = table('code', 'status').map(([name, status]) => [`FST_DYNAMODB_SESSION_${nameIn(name)}`, Number(status)])
  const thrown = Object.values(errors).map(SomeError => {
    const { code, statusCode = 500 } = new (SomeError as unknown as new () => { code: string, statusCode?: number })()
    return [code, statusCode]
  })
  t.same(rows.sort(), thrown.sort())
})

/** The text of a section, up to the next heading. */
function section (title: string): string {
  return new RegExp(`^#+ ${title}\\n([\\s\\S]*?)(?=^#)`, 'm').exec(readme)?.[1] ?? ''
}

t.test('each code and each line of the log that troubleshooting quotes is one of the code', async t => {
  const cells = table('symptom', 'cause').map(row => row.join(' | ')).join('\n')
  const quoted = [...cells.matchAll(/"((?:[^"|]|"\w+")+)"/g)].map(([, line = '']) => line)
  t.ok(quoted.length >= 10)
  const sources = readdirSync(join(root, 'lib')).map(file => read(`lib/${file}`)).join('\n')
  for (const line of quoted) t.ok(sources.includes(line), line)
  const codes = new Set(Object.values(errors).map(SomeError => new (SomeError as unknown as new () => { code: string })().code))
  const named = [...cells.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)].map(([, name = '']) => name).filter(name => name !== 'ERR_REQUIRE_ESM')
  t.ok(named.length > 5)
  for (const name of named) t.ok(codes.has(`FST_DYNAMODB_SESSION_${name}`), name)
  for (const [, name = ''] of cells.matchAll(/the command `([\w-]+)`/g)) t.ok(COMMANDS.some(command => command.name === name), name)
})

t.test('the README is one that people find their way in', async t => {
  t.ok(readme.trimEnd().split('\n').length < 610, 'it has less than 610 lines')
  t.ok(readme.indexOf('```sh\nnode app.mjs\n```') < readme.indexOf('## Options'), 'what to run comes first')
  for (const recipe of RECIPES) t.equal([...section(recipe).matchAll(/^```ts$/gm)].length, 1, `${recipe} has one example`)
})

t.test('the table of what is stored has every attribute that is written', async t => {
  const { layout } = resolveOptions({ table: 'sessions' })
  t.same(column('attribute', 'type', read('docs/formats.md')).sort(), [layout.partitionKey.name, layout.ttlAttribute, ...Object.values(ATTRIBUTES)].sort())
})

t.test('the table is created as the defaults want it', async t => {
  const { layout } = resolveOptions({ table: 'sessions' })
  const { partitionKey: { name, type }, ttlAttribute } = layout
  const page = read('docs/operations.md')
  const [cli] = blocks('sh', page).filter(code => code.includes('aws dynamodb'))
  t.match(cli, `AttributeName=${name},AttributeType=${type}`)
  t.match(cli, `AttributeName=${name},KeyType=HASH`)
  t.match(cli, `Enabled=true,AttributeName=${ttlAttribute}`)
  const [cloudFormation] = blocks('yaml', page)
  t.match(cloudFormation, new RegExp(`AttributeName: ${name}\\s+AttributeType: ${type}`))
  t.match(cloudFormation, new RegExp(`AttributeName: ${name}\\s+KeyType: HASH`))
  t.match(cloudFormation, new RegExp(`AttributeName: ${ttlAttribute}\\s+Enabled: true`))
  const [terraform] = blocks('hcl', page)
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
    for (const code of blocks('js')) {
      const { diagnostics = [] } = ts.transpileModule(code, { reportDiagnostics: true, fileName: 'example.mjs', compilerOptions: { allowJs: true } })
      t.same(diagnostics.map(({ messageText }) => messageText), [])
    }
  })

  // As it stands it is run by scripts/test-readme.mjs, on a machine that has nothing else.
  await t.test('the first program, changed as the README says for AWS, logs a visitor in and out', async t => {
    const engine = await startDynalite()
    t.teardown(async () => await engine.close())
    await createTable(engine, { TableName: 'sessions' })
    const [program = ''] = blocks('js')
    const lines = program.split('\n').filter(line => !/^import dynalite|^const (engine|endpoint|client) = |^await new Promise/.test(line))
    const forAws = lines.join('\n').replace(/(?<=register\(dynamoSession, )\{.*\}/, "{ table: 'sessions' }")
    t.equal(program.split('\n').length - lines.length, 5)
    t.match(forAws, "register(dynamoSession, { table: 'sessions' })")
    writeFileSync(join(output, 'first.ts'), forAws)
    const url = await serve(t, engine, 'first.ts')

    const login = await fetch(`${url}/login`, { method: 'POST', body: new URLSearchParams({ name: '<Ann>' }), redirect: 'manual' })
    t.equal(login.status, 303)
    const cookie = login.headers.getSetCookie().map(text => text.split(';')[0]).join('; ')
    t.match(cookie, /^__Host-id=[\w-]{43}; __Host-id-v=/)
    const see = async (): Promise<string> => await (await fetch(url, { headers: { cookie } })).text()
    t.match(await see(), 'Signed in as &#60;Ann&#62;.')
    t.match(await (await fetch(url)).text(), 'action="/login"', 'a stranger is asked who that is')
    t.equal((await fetch(`${url}/login`, { method: 'POST', body: new URLSearchParams() })).status, 400, 'and must say so')
    t.equal((await fetch(`${url}/logout`, { method: 'POST', headers: { cookie }, redirect: 'manual' })).status, 303)
    t.match(await see(), 'action="/login"', 'and who has logged out is asked too')
  })

  await t.test('the example for tests sees its visitor signed in', async t => {
    const file = `example-${codes.findIndex(code => code.includes('app.inject'))}.ts`
    const child = start(file)
    t.equal(await text(child.stdout), "{ userId: 'u-42' }\n")
  })
})

/** Runs an example by itself, away from the test runner's environment. */
function start (file: string, environment: Record<string, string> = {}) {
  return spawn(process.execPath, ['--no-warnings', ...COMPILED, join(output, file)], {
    cwd: root,
    env: { ...NOT_COVERED, PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'inherit']
  })
}

async function serve (t: Tap, engine: Engine, file: string): Promise<string> {
  const child = start(file, {
    PORT: '0', AWS_ENDPOINT_URL_DYNAMODB: engine.endpoint, AWS_REGION: 'eu-central-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local'
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
