import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { COMMANDS } from '../../cli/run.js'
import { command } from '../support/cli.js'
import { OPERATIONS } from '../../lib/events.js'
import { blocksIn, read, root, rowsIn } from '../support/documents.js'

const page = read('docs/operations.md')
const watching = read('docs/observability.md')
const sources = readdirSync(join(root, 'lib')).map(file => read(`lib/${file}`)).join('\n').replaceAll("\\'", "'")

t.test('each channel has its row, and each row its channel', async t => {
  const [, operations = ''] = /const OPERATIONS[^=]*= \[(.*)\]/.exec(read('lib/events.ts')) ?? []
  const channels = [...operations.matchAll(/'(\w+)'/g)].map(([, name]) => `\`${name}\``)
  t.same(rowsIn(page, 'channel', 'told when').map(([name]) => name), [...channels, '`open`', '`gone`', '`conflict`'])
})

t.test('each remark on the page is one that the code makes', async t => {
  const rows = rowsIn(page, 'remark', 'means')
  t.ok(rows.length > 15)
  for (const [remark = ''] of rows) t.ok(sources.includes(`'${remark}`), remark)
})

t.test('each remark of the code is on the page', async t => {
  const remarks = rowsIn(page, 'remark', 'means').map(([remark = '']) => remark)
  const told = [...sources.matchAll(/(?:warn\([^\n]*?|createNotice\([^\n]*?|const [A-Z_]+ = )'([A-Z][^'\n]{30,})/g)].map(([, text = '']) => text)
  t.ok(told.length >= remarks.length, `${told.length} remarks are found`)
  t.same(told.filter(text => !remarks.some(remark => text.startsWith(remark))), [])
})

t.test('each command on the pages is one that the program takes', async t => {
  const lines = [page, read('README.md')].flatMap(document => blocksIn(document, 'sh')).flatMap(block => block.split('\n')).filter(line => line.startsWith('npx fastify-dynamodb-session '))
  t.ok(lines.length >= 8)
  for (const line of lines) {
    const [name = '', ...args] = line.replace('<loggable id>', 'A'.repeat(43)).split(' ').slice(2)
    t.ok(COMMANDS.some(command => command.name === name), line)
    // Help is printed after the arguments were read, so what is wrong with them is found, and nothing is called.
    t.equal((await command([name, ...args, '--help'])).code, 0, line)
  }
})

/** The code in a cell, or cells. */
function plain (...cells: Array<string | undefined>): string[] {
  return cells.map(cell => (cell ?? '').replaceAll(/[`\\]/g, ''))
}

const events = ts.createSourceFile('events.ts', read('types/events.ts'), ts.ScriptTarget.Latest, true).statements

/** The members of a message, each with its type as it is written, and whether it may be missing. */
function membersOf (message: string): Array<[name: string, type: string, optional: boolean]> {
  const found = events.filter(ts.isInterfaceDeclaration).find(({ name }) => name.text === message)
  return (found?.members ?? ts.factory.createNodeArray<ts.TypeElement>()).filter(ts.isPropertySignature)
    .map(({ name, type, questionToken }) => [name.getText(), type?.getText() ?? '', questionToken !== undefined])
}

/** The words of a union of texts. */
function wordsOf (union: string): string[] {
  const found = events.filter(ts.isTypeAliasDeclaration).find(({ name }) => name.text === union)
  return [...(found?.type.getText() ?? '').matchAll(/'(\w+)'/g)].map(([, word = '']) => word)
}

t.test('the table of channels has each channel with its message, and each message is a type of the package', async t => {
  const plainChannels = [...read('lib/events.ts').matchAll(/ channel\('fastify-dynamodb-session:(\w+)'\)/g)].map(([, name = '']) => name)
  const rows = rowsIn(watching, 'channel', 'tells', 'message').map(([name, , message]) => plain(name, message))
  t.same(rows.slice(0, -3), OPERATIONS.map(operation => [operation, 'CallReport']))
  t.same(rows.slice(-3), plainChannels.map(name => [name, `${name.replace(/^./, first => first.toUpperCase())}Report`]))
  t.same(wordsOf('Operation'), OPERATIONS)
  const [, exported = ''] = /^export type \{ (CallOutcome.*) \} from '\.\.\/types\/events\.js'$/m.exec(read('lib/plugin.ts')) ?? []
  t.same(exported.split(', ').sort(), events.flatMap(statement => 'name' in statement ? [(statement.name as ts.Identifier).text] : []).sort())
})

t.test('each field of a message is on the page with its type, and each on the page is one', async t => {
  const fields = rowsIn(watching, 'field of `CallReport`', 'type', 'meaning')
  t.same(fields.map(([name, type]) => plain(name, type)), membersOf('CallReport').map(([name, type]) => [name, type]))
  const isLate = (name: string): boolean => name !== 'batchSize' && membersOf('CallReport').some(([member, , optional]) => member === name && optional)
  t.same(fields.filter(([, , meaning]) => meaning?.startsWith('○')).map(([name]) => plain(name)[0]), plain(...fields.map(([name]) => name)).filter(isLate))
  const others = rowsIn(watching, 'field of the others', 'type', 'of', 'meaning').map(([name, type, of]) => plain(of, name, type))
  t.same(others, ['OpenReport', 'GoneReport', 'ConflictReport'].flatMap(message => membersOf(message).map(([name, type]) => [message, name, type])))
  const values = rowsIn(watching, 'value of', 'value', 'means').map(([union, value]) => plain(union, value))
  t.same(values, ['CallOutcome', 'OpenOutcome', 'GoneReason'].flatMap(union => wordsOf(union).map(word => [union, word])))
})

t.test('each debug line is on the page with its fields, and each on the page is one', async t => {
  const lines = [...read('lib/journal.ts').matchAll(/say\(log, \{ (event: .*) \}, '/g)].map(([, fields = '']) => {
    const [, event = ''] = /event: '(\w+)'/.exec(fields) ?? []
    return [event, [...fields.replaceAll(/\.\.\.\w+ !== undefined && \{ (\w+) \}/g, '$1').matchAll(/(?:^|, )(\w+)/g)].map(([, name = '']) => name).slice(1)]
  })
  const rows = rowsIn(watching, 'event', 'fields', 'when').map(([event, fields = '']) => [plain(event)[0], plain(...fields.split(', '))])
  t.ok(lines.length >= 9)
  t.same(new Map(rows as Array<[string, string[]]>), new Map(lines as Array<[string, string[]]>))
})

t.test('the table of metrics is what the example for Prometheus has', async t => {
  const source = read('examples/prometheus.ts')
  const metrics = [...source.matchAll(/name: '(\w+)',[^]*?\}\)/g)].map(([text, name = '']) =>
    [name, [...(/labelNames: \[(.*?)\]/.exec(text)?.[1] ?? '').matchAll(/'(\w+)'/g)].map(([, label = '']) => label)])
  t.equal(metrics.length, 8)
  t.same(rowsIn(watching, 'metric', 'labels', 'counts').map(([name, labels = '']) => [plain(name)[0], labels === '' ? [] : plain(...labels.split(', '))]), metrics)
})

t.test('the table of attributes names each that the example for OpenTelemetry gives a call, and no other', async t => {
  const given = [...read('examples/opentelemetry.ts').matchAll(/'((?:db|aws|server|error|session)\.[a-z_.]+)'/g)].map(([, name = '']) => name)
  const named = [...rowsIn(watching, 'attribute', 'from').flatMap(([cell = '']) => [...cell.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => name))]
  t.same(new Set(named), new Set(given.filter(name => !['session.gone', 'session.conflict', 'aws.dynamodb'].includes(name))))
})
