import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** The command line, which is a program of its own on top of the house. */
const COMMAND_LINE = [
  'cli/main', 'cli/run', 'cli/create', 'cli/doctor', 'cli/round', 'cli/iam', 'cli/template', 'cli/show', 'cli/revoke', 'cli/purge', 'cli/import', 'cli/cost',
  'cli/copier', 'cli/rows', 'cli/origin', 'cli/sweep', 'cli/remote', 'cli/place', 'cli/meter', 'cli/verdicts', 'cli/sample', 'cli/terraform', 'cli/stack', 'cli/yaml', 'cli/policy', 'cli/secrets', 'cli/bookmark', 'cli/keys',
  'cli/help', 'cli/command', 'cli/arguments', 'cli/reason', 'cli/progress', 'cli/rate', 'cli/output', 'cli/pricelist', 'cli/reckon', 'cli/fault', 'cli/document',
  'cli/example', 'cli/prices', 'cli/systems', 'cli/bill'
]

/** Rooms of the command line that are tested by what they make of a command, by the name of that test. */
const COMMAND_TESTS: Readonly<Record<string, readonly string[]>> = {
  bill: ['cli/bill', 'cli/prices', 'cli/systems', 'cli/example'],
  'cli-cost': ['cli/cost', 'cli/reckon', 'cli/pricelist'],
  'cli-doctor': ['cli/doctor', 'cli/round', 'cli/sample', 'cli/verdicts'],
  'cli-template': ['cli/template', 'cli/iam', 'cli/policy', 'cli/stack', 'cli/terraform', 'cli/yaml'],
  'cli-show': ['cli/show', 'cli/revoke', 'cli/secrets', 'cli/keys'],
  'cli-purge': ['cli/purge', 'cli/rate', 'cli/bookmark', 'cli/document', 'cli/progress', 'cli/sweep', 'cli/meter'],
  'cli-import': ['cli/import', 'cli/copier', 'cli/rows', 'cli/origin'],
  'cli-table': ['cli/create', 'cli/remote', 'cli/place', 'cli/reason'],
  'cli-run': ['cli/main', 'cli/run', 'cli/help', 'cli/command', 'cli/arguments', 'cli/output', 'cli/fault']
}

/**
 * The house from top to bottom: a room imports only rooms that stand below it. A new room gets its place here, which is
 * the moment to ask what it is below of.
 */
const ORDER = [
  ...COMMAND_LINE,
  'testing/index', 'testing/contract', 'testing/writing', 'testing/revoking', 'testing/listing', 'testing/expecting', 'testing/records', 'testing/memory', 'testing/memory-lists',
  'testing/sign-in',
  'import/index', 'import/express', 'import/pyramid', 'import/web', 'import/settings', 'import/payload', 'import/signatures',
  'store/index', 'store/store', 'store/host-sessions', 'store/reading', 'store/links', 'store/express', 'store/former', 'store/content',
  'store/store-options', 'store/underway', 'store/callbacks',
  'index', 'lib/plugin',
  'lib/start', 'lib/registrations', 'lib/lifecycle', 'lib/answer', 'lib/seat', 'lib/manager', 'lib/keeper', 'lib/importer', 'lib/move', 'lib/source', 'lib/foreign-items', 'lib/foreign-record',
  'lib/visit', 'lib/table', 'lib/reads', 'lib/cache', 'lib/transport', 'lib/writer', 'lib/creations', 'lib/users', 'lib/roster', 'lib/leaving', 'lib/parallel', 'lib/endings', 'lib/renewals', 'lib/updater', 'lib/queue', 'lib/losses', 'lib/turns', 'lib/journal', 'lib/face',
  'lib/options', 'lib/checks', 'lib/indexing', 'lib/binding', 'lib/session', 'lib/plan', 'lib/own', 'lib/values', 'lib/form', 'lib/envelope', 'lib/attribute', 'lib/naming', 'lib/seal',
  'lib/codec', 'lib/members', 'lib/native', 'lib/json',
  'lib/client', 'lib/wire', 'lib/connections', 'lib/repository', 'lib/lists', 'lib/refusal', 'lib/batch', 'lib/calls', 'lib/commands', 'lib/listing', 'lib/expression', 'lib/item', 'lib/size',
  'lib/cookie', 'lib/companion', 'lib/token', 'lib/inheritance', 'lib/expiry', 'lib/events', 'lib/report', 'lib/deadline', 'lib/stop',
  'lib/plain', 'lib/names', 'lib/lazy', 'lib/beside', 'lib/errors'
]

/** A format is declared where formats are chosen, and made below: the one type that goes up. */
const UPWARD_TYPES = ['lib/native → lib/codec', 'lib/json → lib/codec']

/** Who may import what from outside at run time. Types are free. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  'fastify-plugin': ['lib/plugin'],
  '@aws-sdk/client-dynamodb': ['cli/remote', 'lib/client', 'lib/foreign-items', 'lib/lists', 'lib/repository', 'lib/table'],
  '@aws-sdk/util-dynamodb': ['lib/native'],
  undici: ['lib/wire'],
  'node:crypto': ['import/signatures', 'lib/seal', 'lib/token'],
  'node:stream/consumers': ['lib/client'],
  'node:zlib': ['lib/client', 'lib/envelope'],
  '@fastify/cookie': ['lib/token'],
  cookie: ['lib/cookie'],
  'lru-cache': ['lib/cache'],
  vary: ['lib/transport'],
  'fastest-levenshtein': ['cli/arguments', 'lib/options'],
  '@fastify/error': ['lib/errors'],
  'node:diagnostics_channel': ['lib/events'],
  'node:events': ['store/store'],
  'node:fs': ['cli/bookmark', 'cli/pricelist', 'cli/secrets'],
  'node:module': ['cli/run']
}

/** Helpers of Node that reach nothing outside. Whoever needs them may have them. */
const FREE = ['node:timers/promises', 'node:util']

/** Rooms whose test file has another name than theirs. What only lists exports is tested where they are used. */
const TESTS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(COMMAND_TESTS).flatMap(([test, rooms]) => rooms.map(room => [room, test]))),
  index: 'plugin',
  'store/index': 'store',
  'import/index': 'importer',
  'import/express': 'readers',
  'import/pyramid': 'readers',
  'import/web': 'readers',
  'import/settings': 'readers',
  'import/payload': 'readers',
  'import/signatures': 'readers',
  'testing/index': 'contract',
  'testing/memory': 'contract',
  'testing/memory-lists': 'contract',
  'testing/writing': 'contract',
  'testing/revoking': 'contract',
  'testing/listing': 'contract',
  'testing/expecting': 'contract',
  'testing/records': 'contract'
}

const LONGEST_ROOM = 220

interface Import {
  readonly from: string
  /** A room such as `lib/token`, or the name of a package. */
  readonly to: string
  readonly isInside: boolean
  readonly isType: boolean
}

const rooms = ['index', ...['cli', 'lib', 'types', 'import', 'store', 'testing'].flatMap(modulesIn)]
const imports = rooms.flatMap(importsOf)
const testFiles = filesIn('test').filter(path => path.endsWith('.test.ts'))

function modulesIn (folder: string): string[] {
  return readdirSync(join(root, folder)).map(file => `${folder}/${file.replace(/\.ts$/, '')}`)
}

function read (path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

function parse (room: string): ts.SourceFile {
  return ts.createSourceFile(`${room}.ts`, read(`${room}.ts`), ts.ScriptTarget.Latest, true)
}

function importsOf (room: string): Import[] {
  const found: Import[] = []
  const note = (specifier: ts.Node, isType: boolean): void => {
    const text = ts.isStringLiteral(specifier) ? specifier.text : `computed: ${specifier.getText()}`
    const isInside = text.startsWith('.')
    found.push({ from: room, to: isInside ? posix.join(posix.dirname(room), text).replace(/\.js$/, '') : text, isInside, isType })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) note(node.moduleSpecifier, isTypeImport(node.importClause))
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) note(node.moduleSpecifier, isTypeExport(node))
    else if (ts.isImportTypeNode(node)) note(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : node.argument, true)
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) note(node.arguments[0] as ts.Node, false)
    ts.forEachChild(node, visit)
  }
  visit(parse(room))
  return found
}

function isTypeImport (clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const named = clause.namedBindings
  if (clause.name !== undefined || named === undefined || !ts.isNamedImports(named)) return false
  return named.elements.every(element => element.isTypeOnly)
}

function isTypeExport (node: ts.ExportDeclaration): boolean {
  if (node.isTypeOnly) return true
  const clause = node.exportClause
  return clause !== undefined && ts.isNamedExports(clause) && clause.elements.every(element => element.isTypeOnly)
}

t.test('every room has a place in the order, and every place a room', async t => {
  const placed = rooms.filter(room => !room.startsWith('types/'))
  t.same(placed.sort(), [...ORDER].sort())
})

t.test('imports run one way: from a room to those below it', async t => {
  const upward = imports.filter(({ from, to, isInside }) =>
    isInside && !from.startsWith('types/') && !to.startsWith('types/') && ORDER.indexOf(to) <= ORDER.indexOf(from))
  t.same(upward.filter(({ isType }) => !isType), [], 'no room loads one above it')
  t.same(upward.map(({ from, to }) => `${from} → ${to}`).sort(), [...UPWARD_TYPES].sort(), 'and no type comes from above but a format')
})

t.test('types are imported as types only, and import nothing but types', async t => {
  t.same(imports.filter(({ from, to, isType }) => !isType && (from.startsWith('types/') || to.startsWith('types/'))), [])
  for (const room of rooms.filter(room => room.startsWith('types/'))) {
    const { outputText } = ts.transpileModule(read(`${room}.ts`), { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023, removeComments: true } })
    t.equal(outputText.trim(), 'export {};', `${room} compiles to nothing`)
  }
})

t.test('each outside thing has its owners', async t => {
  const owners: Record<string, string[]> = {}
  for (const { from, to, isInside, isType } of imports) {
    if (isInside || isType || FREE.includes(to) || from.startsWith('testing/')) continue
    owners[to] = [...new Set([...owners[to] ?? [], from])].sort()
  }
  t.same(owners, OWNERS)
  const forTests = imports.filter(({ from, isInside, isType }) => from.startsWith('testing/') && !isInside && !isType)
  t.same(forTests.filter(({ to }) => !to.startsWith('node:')), [], 'what helps applications to test brings no package with it')
})

t.test('every package that is imported is a dependency or a peer, and every dependency is imported', async t => {
  const { dependencies, peerDependencies } = JSON.parse(read('package.json')) as Record<string, Record<string, string>>
  const outside = imports.filter(({ to, isInside }) => !isInside && !to.startsWith('node:'))
  const allowed = Object.keys({ ...dependencies, ...peerDependencies })
  t.same([...new Set(outside.map(({ to }) => to))].sort(), allowed.sort())
})

t.test('each room has a test file', async t => {
  const missing = rooms.filter(room => !room.startsWith('types/'))
    .map(room => `/${TESTS[room] ?? posix.basename(room)}.test.ts`)
    .filter(name => !testFiles.some(path => path.endsWith(name)))
  t.same([...new Set(missing)], [])
})

t.test('each folder of tests has a file that runs it, and a test file stands in such a folder or beside them', async t => {
  const folders = new Set(testFiles.map(path => posix.dirname(path)).filter(folder => folder !== 'test'))
  t.ok(folders.size > 5, `${folders.size} folders`)
  for (const folder of folders) t.match(read(`${folder}.test.ts`), `await runFolder('${posix.basename(folder)}')`, folder)
})

t.test('a room is small enough to be read in one go', async t => {
  const large = rooms.map(room => ({ room, lines: read(`${room}.ts`).trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > LONGEST_ROOM)
  t.same(large, [])
})

t.test('shipped code has no any, no silenced compiler, no silenced coverage or lint', async t => {
  for (const room of rooms) {
    const found: string[] = []
    const visit = (node: ts.Node): void => {
      if (node.kind === ts.SyntaxKind.AnyKeyword) found.push(node.parent.getText())
      ts.forEachChild(node, visit)
    }
    visit(parse(room))
    t.same(found, [], `no any in ${room}`)
    t.notMatch(read(`${room}.ts`), /@ts-(ignore|expect-error|nocheck)|eslint-disable|(c8|istanbul|v8) ignore/, `nothing silenced in ${room}`)
  }
})

t.test('nothing names a machine, a registry or unfinished work', async t => {
  const files = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', 'index.ts', '.ci/run', 'package.json',
    ...['lib', 'types', 'import', 'store', 'testing', 'cli', 'test', 'demo', 'examples', 'scripts', 'docs', 'bench'].flatMap(filesIn)].filter(file => !file.endsWith('.png'))
  // Written so that this file does not find itself.
  const MACHINE = new RegExp('(^|[^\\w.-])/(' + ['home', 'root', 'work', 'Users'].join('|') + ')/|https?://registry' + '\\.')
  const UNFINISHED = new RegExp('\\b(' + ['TO', 'FIX', 'XX'].map((start, index) => start + ['DO', 'ME', 'X'][index]).join('|') + ')\\b')
  for (const file of files) {
    t.notMatch(read(file), MACHINE, `no machine in ${file}`)
    t.notMatch(read(file), UNFINISHED, `nothing left open in ${file}`)
  }
  t.notMatch(read('package-lock.json'), '"resolved"', 'whoever installs does so from a registry of their own choice')
})

function filesIn (folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => posix.join(entry.parentPath, entry.name).slice(root.length + 1))
}

t.test('package.json ships the build and the documents, and leads every entry to a room', async t => {
  const { name, type, engines, files, exports, types, sideEffects, ...rest } = JSON.parse(read('package.json')) as Record<string, any>
  t.same([name, type, sideEffects, engines], ['fastify-dynamodb-session', 'module', false, { node: '>=20.19' }])
  const [left, shipped] = [true, false].map(isLeft => files.filter((file: string) => file.startsWith('!') === isLeft)) as [string[], string[]]
  t.same(shipped, ['dist', 'bench/results.md', 'docs', 'examples', 'CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'], 'README, LICENSE and package.json go by themselves')
  t.same(left, ['!docs/**/*.png'], 'pictures are for the page of the repository')
  for (const file of ['README.md', 'LICENSE', ...shipped.slice(1)]) t.ok(existsSync(join(root, file)), file)
  t.equal(types, exports['.'].types)
  t.equal(rest['main'], exports['.'].default, 'for tools that read no exports, linters among them')
  for (const [entry, room] of [['.', 'index'], ['./bare', 'lib/plugin'], ['./import', 'import/index'], ['./store', 'store/index'], ['./testing', 'testing/index']] as const) {
    t.same(exports[entry], { types: `./dist/${room}.d.ts`, default: `./dist/${room}.js` })
    t.same(Object.keys(exports[entry]), ['types', 'default'], 'the compiler takes the first condition that fits')
    t.ok(rooms.includes(room))
  }
  t.same(Object.keys(exports), ['.', './bare', './import', './store', './testing', './package.json'])
  t.same(rest['bin'], { 'fastify-dynamodb-session': 'dist/cli/main.js' }, 'the command line has the name of the package, so that npx finds it')
  t.same(rest['bundledDependencies'], undefined)
  for (const range of Object.values<string>(rest['dependencies'])) t.match(range, /^\^\d/, 'a dependency may move within its major version')
  for (const version of Object.values<string>(rest['devDependencies'])) t.match(version, /^\d+\.\d+\.\d+$/, 'what builds and tests is pinned')
  for (const peer of Object.keys(rest['peerDependencies'])) t.ok(peer in rest['devDependencies'], `${peer} is here for the tests`)
})

t.test('the design page describes the rooms, each once and from top to bottom', async t => {
  const [, table = ''] = read('docs/design.md').split('| room | does |')
  const described = [...table.matchAll(/^\| ([^|]+) \|/gm)].flatMap(([, cell = '']) => [...cell.matchAll(/`([\w/-]+)`/g)].map(([, name]) => name))
  t.same(described, ['cli/', 'testing/', 'import/', ...ORDER.filter(room => !/^(cli|testing|import)\//.test(room)).map(room => room.replace('lib/', ''))])
})

t.test('the design page describes the states that a session has', async t => {
  const [, table = ''] = read('docs/design.md').split('| state | meaning |')
  const described = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name)
  const [, union = ''] = /type Status = (.*)/.exec(read('lib/session.ts')) ?? []
  t.same(described, union.split(' | ').map(word => word.replaceAll("'", '')))
})
