import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import ts from 'typescript'
import { parse } from 'yaml'
import { COMMANDS } from '../../cli/run.js'
import { runCommands } from '../support/block-commands.js'
import { blocksOf, isProgram, runPrograms, SOURCES } from '../support/blocks.js'
import { command } from '../support/cli.js'
import { commandsIn, complaintOf, OWN } from '../support/shell.js'
import { documentsIn, read, root, rowsIn } from '../support/documents.js'

const DOCUMENTS = [...documentsIn(''), ...documentsIn('docs', true)]

const blocks = DOCUMENTS.flatMap(document => blocksOf(document, read(document)))

t.test('every example in TypeScript says where the types of a session come from', async t => {
  const examples = blocks.filter(({ language }) => language === 'ts')
  t.ok(examples.length > 10)
  for (const { document, line, code } of examples) {
    // They may not be those that another example has imported.
    if (/\bsessions?\./.test(code)) t.match(code, /\b(from|import) 'fastify-dynamodb-session/, `${document}:${line} imports the package`)
  }
})

t.test('every command in the documents is one that can be given', async t => {
  await runCommands(t, blocks.filter(({ language }) => language === 'sh'))
  for (const document of DOCUMENTS) {
    // Those within a sentence are named and not run.
    for (const [, text = ''] of read(document).matchAll(/`(np[mx] [^`\n]+)`/g)) {
      const [words = []] = commandsIn(text)
      const name = words[2] ?? '--help'
      if (OWN.every((word, index) => words[index] === word)) t.ok([...COMMANDS.map(({ name }) => name), '--help'].includes(name), `${document}: ${text}`)
      else t.equal(complaintOf(words), undefined, `${document}: ${text}`)
    }
  }
  for (const bad of [
    'npm run nothing', 'npm install nothing', 'npx nothing', 'npx tsx examples/nothing.ts', 'nothing', './nothing', 'npm nothing', 'node -p "[][0]"',
    'aws dynamodb create-tabel', 'aws dynamodb create-table --tabel-name x', 'aws dynamodb wait table-gone'
  ]) t.ok(commandsIn(`${bad} # not so`).some(words => complaintOf(words) !== undefined), bad)
  t.throws(() => commandsIn("npm test 'a"))
  t.same(commandsIn('A=1 one "t w\\"o" \'3\'4 | five \\\n six; seven <loggable id>'), [['one', 't w"o', '34'], ['five', 'six'], ['seven', '<loggable id>']])
})

t.test('every program in the documents runs, and every route that it adds answers', async t => {
  for (const document of DOCUMENTS) {
    const programs = blocks.filter(block => block.document === document && isProgram(block))
    for (const [place, complaints] of Object.entries(await runPrograms(t, document, programs))) t.same(complaints, [], place)
  }
  // Some that do not, to see that it is noticed.
  const found = Object.values(await runPrograms(t, 'bad', blocksOf('bad', BAD))).map(([complaint]) => complaint)
  t.match(found, [
    /^There is no table "nowhere"/, /^GET \/cart answers 500 .*nothing/, /^GET \/ answers 404/, /^Nothing is known to give to addLogin as "hasher"/,
    /^\{"level":50.*it was in vain/, /^handler\(event\) answers 503/, /^Who is signed in is not known/, undefined, /^It is not so that GET \/fine answers 500/, /^The web socket \/live fails/,
    /^in a quote/, /^GET \/cart answers 500/, /^POST \/cart answers 400/, /^Nothing calls "plugin"/, /^Nothing calls "addLogin"/, /^Nothing calls "module.exports"/,
    /^The log says request errored/, /^The log says A session was changed/, /^A request for what is not there answers .*nothing/
  ])
})

/** Programs with what the harness is there to find. */
const BAD = `
\`\`\`ts
import { SessionManager } from 'fastify-dynamodb-session'
const table = 'nowhere'
await new SessionManager({ table }).verifyTable()
\`\`\`
\`\`\`ts
export function addCart (app) { app.get('/cart', async () => { throw new Error('nothing') }) }
\`\`\`
\`\`\`js
const app = require('fastify')()
app.get('/', (request, reply) => reply.callNotFound())
\`\`\`
\`\`\`ts
export function addLogin (app, hasher) {}
\`\`\`
- one in a list:
  \`\`\`ts
  import Fastify from 'fastify'
  const app = Fastify({ logger: true })
  app.log.error('it was in vain')
  \`\`\`
\`\`\`ts
export const handler = async () => ({ statusCode: 503 })
\`\`\`
\`\`\`ts
import Fastify from 'fastify'
import dynamoSession from 'fastify-dynamodb-session'
const app = Fastify()
await app.register(dynamoSession, { table: 'sessions' })
app.addHook('onRequest', async request => await request.session.destroy())
\`\`\`
<!-- GET /down answers 503: it says what it is -->
<!-- a remark -->
\`\`\`js
export function addDown (app) {
  app.get('/down', (request, reply) => reply.code(503).send({}))
  app.get('/up', () => 'up')
}
\`\`\`
<!-- GET /fine answers 500: it does not -->
\`\`\`js
export function addFine (app) { app.get('/fine', async () => 'fine') }
\`\`\`
\`\`\`js
import websocket from '@fastify/websocket'
export async function addLive (app) {
  await app.register(websocket)
  app.get('/live', { websocket: true }, socket => { socket.on('message', () => { socket.close(1011) }) })
}
\`\`\`
> \`\`\`ts
> throw new Error('in a quote')
> \`\`\`\`
\`\`\`ts
function addCart (app) { app.get('/cart', async () => { throw new Error('nothing') }) }
export { addCart as add }
\`\`\`
\`\`\`ts
export default app => {
  app.post('/cart', { schema: { body: { type: 'object', required: ['never'] } } }, async () => { throw new Error('nothing') })
}
\`\`\`
\`\`\`ts
export const plugin = Object.assign(async app => { throw new Error('nothing') })
\`\`\`
\`\`\`ts
function addLogin (app) { throw new Error('nothing') }
\`\`\`
\`\`\`js
module.exports = async app => { throw new Error(require('node:os').EOL) }
\`\`\`
\`\`\`ts
export function addHook (app) { app.addHook('onResponse', async () => { throw new Error('nothing') }) }
\`\`\`
\`\`\`ts
export function addStream (app) {
  app.get('/stream', (request, reply) => {
    reply.hijack()
    reply.raw.end('')
    request.session.set('count', 1)
  })
}
\`\`\`
\`\`\`ts
export function addPage (app) { app.setNotFoundHandler(async () => { throw new Error('nothing') }) }
\`\`\`
`

t.test('a program that another test runs is run by a test that knows its document', async t => {
  for (const { document, line, runBy } of blocks) {
    if (runBy !== undefined) t.ok(existsSync(join(root, runBy)) && read(runBy).includes(document), `${document}:${line} ${runBy}`)
  }
})

t.test('every block is in a language that is checked here, or in one of another program', async t => {
  const others = ['hcl', 'nginx', 'text']
  for (const block of blocks) {
    const { document, line, language, code } = block
    t.ok(isProgram(block) || ['sh', 'json', 'yaml', ...others].includes(language), `${document}:${line} ${language}`)
    if (language === 'json') t.doesNotThrow(() => JSON.parse(code), `${document}:${line}`)
    if (language === 'yaml') t.doesNotThrow(() => parse(code), `${document}:${line}`)
  }
})

t.test('a policy in the documents is one that the command line prints', async t => {
  const policies = blocks.filter(({ language, code }) => language === 'json' && code.includes('"Statement"'))
  t.ok(policies.length > 1)
  for (const { document, line, code } of policies) {
    const { Statement: [statement] } = JSON.parse(code) as { Statement: [{ Resource: string | string[], Condition?: Record<string, Record<string, string[]>> }] }
    const [, region = '', account = '', table = ''] = /^arn:aws:dynamodb:([\w-]+):(\d+):table\/([\w.-]+)/.exec([statement.Resource].flat()[0] ?? '') ?? []
    const prefix = statement.Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys']?.[0]?.replace(/\*$/, '')
    const printed = await Promise.all(['web', 'deploy', 'operator'].map(async role => {
      const where = ['--table', table, '--region', region, '--account', account]
      return (await command(['iam-policy', '--for', role, ...where, ...prefix === undefined ? [] : ['--prefix', prefix]])).json as unknown
    }))
    t.ok(printed.some(policy => isDeepStrictEqual(policy, JSON.parse(code))), `${document}:${line}`)
  }
})

t.test('the reference is made of every entry of the package', async t => {
  const { entryPoints } = JSON.parse(read('typedoc.json')) as { entryPoints: string[] }
  t.same(entryPoints.sort(), [...SOURCES.values()].sort())
})

t.test('every example is run by a test', async t => {
  const tests = read('test/docs/examples.test.ts')
  for (const name of readdirSync(join(root, 'examples'))) t.ok(tests.includes(`run(t, '${name}')`), name)
})

t.test('the documentation of each option gives the default and the unit that the tables give', async t => {
  const tables = [['option', 'types/options.ts', ['DynamoSessionOptions']], ['attribute', 'types/cookie.ts', ['CookieOptions', 'CookieAttributes']]] as const
  for (const [heading, file, names] of tables) {
    const documentation = documentationOf(file, names)
    const document = DOCUMENTS.find(document => read(document).includes(`| ${heading} | default |`)) ?? ''
    const rows = rowsIn(read(document), heading, 'default')
    let units = 0
    t.equal(rows.length, documentation.size)
    for (const [cell = '', given = '', meaning = ''] of rows) {
      const name = cell.replaceAll('`', '')
      const text = documentation.get(name) ?? ''
      if (given === 'required') t.ok(text.endsWith('Required.'), name)
      else if (given !== 'see below') t.match(text, new RegExp(`\\bdefault ${given.replaceAll(/[^\w\s]/g, '\\$&')}`, 'i'), name)
      const [, unit] = /^(?:\w+ ){0,3}(seconds|bytes)\b/i.exec(meaning) ?? []
      if (unit !== undefined) t.ok(text.toLowerCase().includes(unit.toLowerCase()), `${name}: ${unit}`)
      units += unit === undefined ? 0 : 1
    }
    t.ok(units > 0)
  }
})

/** The comments of the members of interfaces, in one line each. */
function documentationOf (file: string, names: readonly string[]): Map<string, string> {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.Latest, true)
  const members = source.statements.filter(ts.isInterfaceDeclaration).filter(({ name }) => names.includes(name.text)).flatMap(({ members }) => [...members])
  return new Map(members.map(member => {
    const [comment] = ts.getJSDocCommentsAndTags(member)
    return [member.name?.getText() ?? '', String(comment?.comment).replaceAll(/\s+/g, ' ')]
  }))
}

t.test('links inside the repository lead somewhere', async t => {
  for (const file of DOCUMENTS) {
    for (const [, target = ''] of read(file).matchAll(/\]\(([^)]+)\)/g)) {
      if (/^\w+:/.test(target)) continue
      const [path = '', anchor] = target.split('#')
      const aim = path === '' ? file : join(dirname(file), path)
      t.ok(existsSync(join(root, aim)), `${file}: ${target}`)
      if (anchor !== undefined) t.ok(anchorsOf(aim).includes(anchor), `${file}: ${target}`)
    }
  }
})

function anchorsOf (file: string): string[] {
  return [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title.toLowerCase().replaceAll(/[^\w\- ]/g, '').replaceAll(' ', '-'))
}
